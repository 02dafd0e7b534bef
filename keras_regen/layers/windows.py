"""Attention within windows of neighbouring tokens."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_regen.layers.attention import dot_product_attention
from keras_regen.types import Tensor


def windowed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    window: Sequence[int | None] | None,
    shifted: bool = False,
) -> Tensor:
    """Lets every token attend to the tokens of its own window.

    Each axis is cut into windows of the given length from its start; shifted windows
    start half a length before it, so that with shifts in every other block, tokens on
    both sides of a boundary attend to each other. Windows at the ends may be smaller:
    any size is possible. The cost is linear in the number of tokens.

    Windows of each size are attended to by a call of their own, up to 27 calls, without
    padding or masks. `WindowGrid` makes one call of them.

    Args:
        query: float tensor of shape `(B, F, h, w, heads, head_dim)`.
        key: float tensor of the same shape.
        value: float tensor of the same shape.
        window: tuple `(frames, rows, columns)` of int, or None for a whole axis; or
            None for a single window.
        shifted: bool. Defaults to `False`.

    Returns:
        Tensor of the shape of `query`.

    Reference:
        Liu et al. 2022, *Video Swin Transformer*, section 3.2.
    """
    if window is None:
        tokens = (ops.shape(query)[0], -1, *ops.shape(query)[-2:])
        attended = dot_product_attention(
            *(ops.reshape(part, tokens) for part in (query, key, value))
        )
        return ops.reshape(attended, ops.shape(query))
    axes = [
        axis_windows(size, length, shifted)
        for size, length in zip(ops.shape(query)[1:4], window, strict=True)
    ]

    def attend(*runs):
        """Attends within the given runs of the first axes, and all runs of the rest."""
        axis = len(runs)
        if axis == len(axes):
            return _attend_within(query, key, value, *runs)
        parts = [attend(*runs, run) for run in axes[axis]]
        return ops.concatenate(parts, axis=1 + axis) if len(parts) > 1 else parts[0]

    return attend()


def axis_windows(
    size: int | Tensor, length: int | None, shifted: bool
) -> list[tuple[Any, Any, Any]]:
    """Cuts an axis into windows.

    Args:
        size: int, or a tensor in graphs of unknown size.
        length: int, the length of a window; or None for the whole axis.
        shifted: bool. Whether the first window is half as long.

    Returns:
        List of runs `(start, count, length)`: `count` windows of one length that begin
        at `start`. In graphs of unknown size some runs may be empty.
    """
    known = isinstance(size, int)
    if length is None or (known and size <= length):
        return [(0, 1, size)]
    first = length // 2 if shifted else 0
    if shifted and not known:
        first = ops.where(size > length, first, 0)
    count = (size - first) // length
    start = first + count * length
    runs = [(first, count, length), (start, 1, size - start)]
    if shifted:
        runs = [(0, 1, first), *runs]
    return [run for run in runs if not known or run[1] * run[2] > 0]


def _attend_within(query, key, value, *runs):
    """Attends within all windows of one size.

    Args:
        query: as for `windowed_attention`.
        key: as for `windowed_attention`.
        value: as for `windowed_attention`.
        *runs: for each axis one run of `axis_windows`.

    Returns:
        The part of the attention that the windows cover.
    """
    batch, *_, heads, head_dim = ops.shape(query)
    (f, h, w), (frames, rows, columns) = zip(*(run[1:] for run in runs), strict=True)
    part = tuple(slice(start, start + count * length) for start, count, length in runs)
    query, key, value = (x[:, *part] for x in (query, key, value))

    def to_windows(x):
        x = ops.reshape(x, (batch, f, frames, h, rows, w, columns, heads, head_dim))
        x = ops.transpose(x, (0, 1, 3, 5, 2, 4, 6, 7, 8))
        tokens = frames * rows * columns
        return ops.reshape(x, (batch * f * h * w, tokens, heads, head_dim))

    def attend():
        x = dot_product_attention(*(to_windows(x) for x in (query, key, value)))
        x = ops.reshape(x, (batch, f, h, w, frames, rows, columns, heads, head_dim))
        x = ops.transpose(x, (0, 1, 4, 2, 5, 3, 6, 7, 8))
        return ops.reshape(x, ops.shape(query))

    size = f * frames * h * rows * w * columns
    if isinstance(size, int):
        return attend()
    return ops.cond(size > 0, attend, lambda: query)


class WindowGrid:
    """Cuts a grid of tokens into windows of one size, for one call of attention.

    Axes are padded to whole windows. Shifted windows wrap around: the halves at both
    ends of an axis share a window. `segments` keeps apart the tokens that share a
    window and do not belong together, so the result is that of `windowed_attention`.

    Args:
        sizes: tuple of int, `(frames, rows, columns)`. In graphs of unknown size they
            may be symbols or tensors.
        window: as for `windowed_attention`.
        shifted: as for `windowed_attention`.
    """

    def __init__(
        self,
        sizes: Sequence[int | Tensor],
        window: Sequence[int | None],
        shifted: bool = False,
    ) -> None:
        self._axes = [
            _Axis(size, length, shifted)
            for size, length in zip(sizes, window, strict=True)
        ]

    def cut(self, x: Tensor) -> Tensor:
        """Cuts tokens `(B, F, h, w, C)` into windows `(windows, tokens, B, C)`."""
        if any(axis.padded for axis in self._axes):
            padding = [[0, axis.padding] for axis in self._axes]
            x = ops.pad(x, [[0, 0], *padding, [0, 0]])
        return self._cut_padded(x)

    def _cut_padded(self, x):
        batch, *_, channels = ops.shape(x)
        for i, axis in enumerate(self._axes, start=1):
            if axis.shift:
                x = ops.roll(x, -axis.shift, i)
        (f, h, w), (frames, rows, columns) = self._counts_and_lengths()
        x = ops.reshape(x, (batch, f, frames, h, rows, w, columns, channels))
        x = ops.transpose(x, (1, 3, 5, 2, 4, 6, 0, 7))
        return ops.reshape(x, (f * h * w, frames * rows * columns, batch, channels))

    def join(self, x: Tensor) -> Tensor:
        """Inverts `cut`."""
        *_, batch, channels = ops.shape(x)
        (f, h, w), (frames, rows, columns) = self._counts_and_lengths()
        x = ops.reshape(x, (f, h, w, frames, rows, columns, batch, channels))
        x = ops.transpose(x, (6, 0, 3, 1, 4, 2, 5, 7))
        x = ops.reshape(x, (batch, f * frames, h * rows, w * columns, channels))
        for i, axis in enumerate(self._axes, start=1):
            if axis.shift:
                x = ops.roll(x, axis.shift, i)
        if any(axis.padded for axis in self._axes):
            frames, rows, columns = (axis.size for axis in self._axes)
            x = x[:, :frames, :rows, :columns]
        return x

    def segments(self) -> Tensor | None:
        """Numbers the parts of each window whose tokens belong together.

        Returns:
            int32 tensor of shape `(windows, tokens)`, equal for tokens that see each
            other; or None if all tokens of each window do.
        """
        if not any(axis.padded or axis.shift for axis in self._axes):
            return None
        frames, rows, columns = (axis.segments() for axis in self._axes)
        grid = 9 * frames[:, None, None] + 3 * rows[:, None] + columns
        return self._cut_padded(grid[None, ..., None])[..., 0, 0]

    def _counts_and_lengths(self):
        return zip(*((axis.count, axis.length) for axis in self._axes), strict=True)


class _Axis:
    """One axis of a `WindowGrid`.

    Args:
        size: int; or a symbol or a tensor in graphs of unknown size.
        length: int, the length of a window; or None for the whole axis.
        shifted: bool.

    Attributes:
        size: as above.
        length: the length of a window.
        count: the number of windows.
        shift: int. Tokens from the start of the axis that wrap around.
        padded: bool. Whether there may be padding.
    """

    def __init__(self, size, length, shifted):
        self.size = size
        self._known = isinstance(size, int)
        if length is None or (self._known and size <= length):
            self.length, self.count, self.shift, self.padded = size, 1, 0, False
            return
        self.length = length
        self.count = (size + length - 1) // length
        self.shift = length // 2 if shifted else 0
        self.padded = not self._known or size % length > 0

    @property
    def padding(self):
        return self.count * self.length - self.size

    def segments(self):
        """Numbers the tokens: 0 or 1 on either side of the cut, higher for padding."""
        position = ops.arange(self.count * self.length, dtype="int32")
        segments = ops.zeros_like(position)
        if self.padded:
            segments = 2 * ops.cast(position >= self.size, "int32")
        if self.shift:
            # A single window is not cut.
            cut = self.shift
            if not self._known:
                cut = ops.where(position[-1] >= self.length, cut, 0)
            after = ops.cast(position >= cut, "int32")
            segments = ops.maximum(segments, after)
        return segments
