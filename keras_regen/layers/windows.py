"""Attention within windows of neighbouring tokens."""

from keras import ops

from keras_regen.layers.attention import dot_product_attention


def windowed_attention(query, key, value, window, shifted=False):
    """Lets every token attend to the tokens of its own window.

    Each axis is cut into windows of the given length from its start; shifted windows
    start half a length before it, so that with shifts in every other block, tokens on
    both sides of a boundary attend to each other. Windows at the ends may be smaller:
    there is no padding to mask, and any size is possible. The cost is linear in the
    number of tokens.

    Args:
        query: float tensor of shape `(B, F, h, w, heads, head_dim)`.
        key: float tensor of the same shape.
        value: float tensor of the same shape.
        window: tuple `(frames, rows, columns)` of int, or None for a whole axis.
        shifted: bool. Defaults to `False`.

    Returns:
        Tensor of the shape of `query`.

    Reference:
        Liu et al. 2022, *Video Swin Transformer*, section 3.2.
    """
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


def axis_windows(size, length, shifted):
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
