"""Arithmetic that no one form of which is fastest on every backend.

Beside `attention`, the one file that knows what a backend does. What each form takes is
in docs/performance.md.
"""

import keras
from keras import ops

# Of an input, below which a convolution takes its temporal taps for channels.
FEW_CHANNELS = 32


def dense(layer, x, gelu=False):
    """A `Dense` layer of tokens, and the tanh approximation of GELU after it.

    As the layer itself, but with the bias, and on TensorFlow GELU too, in one pass with
    the product.

    Args:
        layer: a built `keras.layers.Dense` with a bias and without an activation.
        x: float tensor of shape `(..., C)`.
        gelu: bool. Defaults to `False`.

    Returns:
        Tensor of shape `(..., layer.units)`.
    """
    backend = keras.backend.backend()
    # Quantised to int8 the layer multiplies in a way of its own.
    if backend == "jax" or layer.quantization_mode:
        x = layer(x)
        return ops.gelu(x, approximate=True) if gelu else x
    *shape, channels = ops.shape(x)
    # Not the layer's own call, which would cast.
    x, kernel, bias = (
        ops.cast(value, layer.compute_dtype)
        for value in (ops.reshape(x, (-1, channels)), layer.kernel, layer.bias)
    )
    in_bfloat16 = layer.compute_dtype == "bfloat16"
    if backend == "torch":
        x = _torch_dense(x, kernel, bias, gelu, in_bfloat16)
    elif in_bfloat16 and not gelu:
        x = _tensorflow_bfloat16_dense(x, kernel, bias)
    else:
        import tensorflow as tf

        # The three ops that TensorFlow's remapper makes one of.
        x = tf.nn.bias_add(tf.matmul(x, kernel), bias)
        x = tf.nn.gelu(x, approximate=True) if gelu else x
    return ops.reshape(x, (*shape, layer.units))


def _torch_dense(x, kernel, bias, gelu, in_bfloat16):
    import torch

    if torch.is_grad_enabled():
        x = torch.addmm(bias, x, kernel)
        return torch.nn.functional.gelu(x, approximate="tanh") if gelu else x
    if in_bfloat16 and x.device.type == "cpu" and not torch.compiler.is_compiling():
        onednn = torch.ops.mkldnn
        if torch.backends.mkldnn.is_available() and onednn._is_mkldnn_bf16_supported():
            # What `torch.compile` makes of it: bias and GELU within the product.
            end = ("gelu", [], "tanh") if gelu else ("none", [], "")
            return onednn._linear_pointwise(x, kernel.t(), bias, *end)
    x = torch.addmm(bias, x, kernel)
    # In place: new pages take as long as the product of half precision.
    return torch.ops.aten.gelu_(x, approximate="tanh") if gelu else x


def _tensorflow_bfloat16_dense(x, kernel, bias):
    """A convolution: to a product oneDNN adds the bias more slowly than to that."""
    import tensorflow as tf

    @tf.custom_gradient
    def product(x, kernel, bias):
        y = tf.nn.conv2d(x[None, :, None], kernel[None, None], 1, "VALID")
        y = tf.nn.bias_add(y, bias)[0, :, 0]

        def gradient(dy):
            # Those of the convolution take five times as long.
            dx = tf.matmul(dy, kernel, transpose_b=True)
            return dx, tf.matmul(x, dy, transpose_a=True), tf.reduce_sum(dy, 0)

        return y, gradient

    return product(x, kernel, bias)


def normalize_queries_and_keys(query_norm, key_norm, query, key):
    """The `RMSNormalization` layers of queries and of keys, which are given up.

    On PyTorch, whose passes over memory cost most, queries are scaled for both, in
    place where there is no gradient.

    Args:
        query_norm: a built `keras.layers.RMSNormalization` over the last axis.
        key_norm: another.
        query: float tensor of shape `(..., D)`.
        key: float tensor of shape `(..., D)`.

    Returns:
        Pair of tensors, whose products are those of what the layers return.
    """
    if keras.backend.backend() != "torch":
        return query_norm(query), key_norm(key)
    import torch

    multiply = torch.mul if torch.is_grad_enabled() else torch.Tensor.mul_

    def normalize(x, norm, scale=None):
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = torch.rsqrt(length.square() / x.shape[-1] + norm.epsilon)
        y = multiply(x, inverse.to(x.dtype))
        return y if scale is None else multiply(y, scale)

    dtype = query_norm.compute_dtype
    scale = ops.cast(query_norm.scale, dtype) * ops.cast(key_norm.scale, dtype)
    return normalize(query, query_norm, scale), normalize(key, key_norm)


def multiply_add(x, factor, term):
    """`x * factor + term`, of the shape of `x`, which is given up, in one pass."""
    if keras.backend.backend() == "torch":
        import torch

        # In place where there is no gradient: new pages take longer than the sum.
        out = None if torch.is_grad_enabled() else x
        return torch.addcmul(term, x, factor, out=out)
    return x * factor + term


def add_depthwise_conv(x, kernel):
    """Tokens and the sum over their spatial neighbours, channel by channel.

    Args:
        x: float tensor of shape `(B, F, h, w, C)`.
        kernel: float tensor of shape `(size, size, C)`, `size` odd.

    Returns:
        Tensor of the shape of `x`; what lies outside counts as zero.
    """
    backend = keras.backend.backend()
    shape = ops.shape(x)
    _, _, height, width, channels = shape
    if backend == "jax":
        # XLA fuses shifts; its grouped convolutions are many times slower.
        size = kernel.shape[0]
        margin = [size // 2, size // 2]
        padded = ops.pad(x, [[0, 0], [0, 0], margin, margin, [0, 0]])
        return x + sum(
            padded[:, :, i : i + height, j : j + width] * kernel[i, j]
            for i in range(size)
            for j in range(size)
        )
    frames = ops.reshape(x, (-1, height, width, channels))
    if backend == "torch":
        import torch

        # Channels last, in which Keras's convolution would not leave it.
        y = torch.nn.functional.conv2d(
            frames.permute(0, 3, 1, 2),
            kernel.permute(2, 0, 1)[:, None],
            padding=kernel.shape[0] // 2,
            groups=channels,
        ).permute(0, 2, 3, 1)
        y = y + frames if torch.is_grad_enabled() else y.add_(frames)
    else:
        y = frames + ops.depthwise_conv(
            frames, kernel[..., None], padding="same", data_format="channels_last"
        )
    return ops.reshape(y, shape)


def causal_conv3d(x, kernel, bias, strides):
    """3D convolution of the past and present, padded with zeros.

    Args:
        x: float tensor of shape `(B, T, H, W, C)`.
        kernel: float tensor of shape `(time, height, width, C, filters)`.
        bias: float tensor of shape `(filters,)`.
        strides: tuple of 3 ints.

    Returns:
        Tensor of shape `(B, ceil(T / stride), ceil(H / stride), ceil(W / stride),
        filters)`.
    """
    backend = keras.backend.backend()
    taps, *sides, channels, filters = kernel.shape
    time_stride, *space_strides = strides
    if taps > 1 and channels < FEW_CHANNELS and backend != "tensorflow":
        # Too few for the kernels' vectors: the taps become channels.
        x = ops.concatenate(_taps(x, taps, time_stride), axis=-1)
        kernel = ops.transpose(kernel, (1, 2, 0, 3, 4))
        kernel = ops.reshape(kernel, (1, *sides, taps * channels, filters))
        taps, time_stride = 1, 1
    if backend == "torch":
        return _torch_conv3d(x, kernel, bias, (time_stride, *space_strides))
    if taps == 1:
        return _conv2d(x[:, ::time_stride], kernel[0], space_strides, bias)
    if _jax_on_cpu():
        return _jax_conv3d(x, kernel, strides) + bias
    in_space = map(_same_padding, ops.shape(x)[2:4], sides, space_strides)
    x = ops.pad(x, [[0, 0], [taps - 1, 0], *in_space, [0, 0]])
    return _add_bias(ops.conv(x, kernel, strides, "valid", "channels_last"), bias)


def _jax_conv3d(x, kernel, strides):
    """XLA's 3D convolutions are slow on CPUs, unlike those of two dimensions."""
    taps, *sides = kernel.shape[:3]
    time_stride, *space_strides = strides
    if sides != [1, 1]:
        parts = _taps(x, taps, time_stride)
        return sum(_conv2d(x, kernel[i], space_strides) for i, x in enumerate(parts))
    # Of time and of all pixels.
    x = _pad_past(x[:, :, :: space_strides[0], :: space_strides[1]], taps)
    batch, time, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (batch, time, height * width, channels))
    x = ops.conv(x, kernel[:, :, 0], (time_stride, 1), "valid", "channels_last")
    return ops.reshape(x, (batch, ops.shape(x)[1], height, width, kernel.shape[-1]))


def _taps(x, count, stride):
    """What each temporal tap of a kernel sees."""
    time = ops.shape(x)[1]
    x = _pad_past(x, count)
    return [x[:, i : i + time : stride] for i in range(count)]


def _pad_past(x, taps):
    """Zeros before the first frame, for a kernel of so many taps."""
    return ops.pad(x, [[0, 0], [taps - 1, 0], [0, 0], [0, 0], [0, 0]])


def _same_padding(size, kernel_size, stride):
    """Zeros before and after, as "same" has them. Sizes may be symbols."""
    total = kernel_size - 1 - (size - 1) % stride
    if stride > kernel_size:
        total = ops.maximum(total, 0)
    return [total // 2, total - total // 2]


def _conv2d(x, kernel, strides, bias=None):
    """Convolution of every frame of `(B, T, H, W, C)`."""
    batch, time, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (batch * time, height, width, channels))
    if kernel.shape[:2] == (1, 1) and keras.backend.backend() == "jax":
        x = ops.matmul(x[:, :: strides[0], :: strides[1]], kernel[0, 0])
    else:
        x = ops.conv(x, kernel, tuple(strides), "same", "channels_last")
    if bias is not None:
        x = _add_bias(x, bias)
    return ops.reshape(x, (batch, time, *ops.shape(x)[1:]))


def _add_bias(x, bias):
    """Adds the bias to what a convolution returns."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Which becomes part of the convolution, as the padding does. Not a sum: with
        # another sum after it TensorFlow's optimiser would lose the padding.
        return tf.nn.bias_add(x, bias)
    return x + bias


def _torch_conv3d(x, kernel, bias, strides):
    """By PyTorch itself: Keras's convolution would copy to channels first."""
    import torch

    taps, *sides, channels, _ = kernel.shape
    # Alike on both sides, which the convolution does itself: twice as slowly where the
    # channels are no whole vectors.
    inside = channels % 16 == 0 and all(
        k % 2 and s == 1 for k, s in zip(sides, strides[1:], strict=True)
    )
    if inside:
        padding, around = (0, *(k // 2 for k in sides)), (0, 0, 0, 0)
    else:
        in_space = map(_same_padding, x.shape[2:4], sides, strides[1:])
        (top, bottom), (left, right) = in_space
        padding, around = 0, (left, right, top, bottom)
    if taps > 1 or not inside:
        x = torch.nn.functional.pad(x, (0, 0, *around, taps - 1, 0))
    x = torch.nn.functional.conv3d(
        x.movedim(-1, 1), kernel.permute(4, 3, 0, 1, 2), bias, strides, padding
    )
    return x.movedim(1, -1)


def _jax_on_cpu():
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu"
