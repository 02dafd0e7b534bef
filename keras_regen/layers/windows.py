"""Attention within windows of neighbouring tokens."""

from keras import ops

from keras_regen.layers.attention import dot_product_attention


def windowed_attention(query, key, value, window, shifted=False):
    """Every token attends to the tokens of its own window.

    Each axis is cut into windows of the given length from its beginning; or, shifted,
    from half a length before it, so that tokens on either side of a boundary meet in
    every other block. What is cut short at the ends is a smaller window: there is no
    padding to mask, and any size will do. The cost is linear in the number of tokens.

    Args:
        query: float tensor of shape `(B, F, h, w, heads, head_dim)`.
        key: float tensor of the same shape.
        value: float tensor of the same shape.
        window: tuple `(frames, rows, columns)` of int or None, the whole axis.
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

    def attend(*where):
        """The windows of the first axes; all of the others put together."""
        axis = len(where)
        if axis == len(axes):
            return _attend_within(query, key, value, *where)
        parts = [attend(*where, windows) for windows in axes[axis]]
        return ops.concatenate(parts, axis=1 + axis) if len(parts) > 1 else parts[0]

    return attend()


def axis_windows(size, length, shifted):
    """How an axis is cut.

    Args:
        size: int, or a tensor where it is not known before it runs.
        length: int or None. Of a window.
        shifted: bool.

    Returns:
        List of tuples `(start, count, length)`: so many windows of one length from
        there on. Where the size is not known, some may be empty.
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


def _attend_within(query, key, value, *where):
    """Attention within all windows that are alike."""
    batch, *_, heads, head_dim = ops.shape(query)
    (f, h, w), (frames, rows, columns) = zip(*(run[1:] for run in where), strict=True)
    part = tuple(slice(start, start + count * length) for start, count, length in where)
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
