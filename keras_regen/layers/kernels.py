"""Operations whose fastest implementation depends on the backend.

Only this module and `attention` branch on the backend. docs/performance.md has the
times of each implementation.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_regen.hardware import device_type
from keras_regen.types import Tensor

# Inputs with fewer channels than this are convolved with the temporal taps folded into
# the channel axis.
MIN_CHANNELS = 32


def dense(layer: keras.layers.Dense, x: Tensor, gelu: bool = False) -> Tensor:
    """Applies a `Dense` layer to tokens, and the tanh approximation of GELU after it.

    The result is that of the layer, but the bias, and on TensorFlow GELU too, is part
    of the matrix product.

    Args:
        layer: a built `keras.layers.Dense` with a bias and without an activation.
        x: float tensor of shape `(..., C)`.
        gelu: bool. Defaults to `False`.

    Returns:
        Tensor of shape `(..., layer.units)`.
    """
    backend = keras.backend.backend()
    # A layer quantised to int8 has its own product.
    if layer.quantization_mode or (backend == "jax" and not gelu):
        x = layer(x)
        return ops.gelu(x, approximate=True) if gelu else x
    if backend == "jax":
        return _jax_dense_gelu(layer, x)
    *shape, channels = ops.shape(x)
    # Not by the layer's own call, which would cast the result.
    x, kernel, bias = (
        ops.cast(value, layer.compute_dtype)
        for value in (ops.reshape(x, (-1, channels)), layer.kernel, layer.bias)
    )
    in_bfloat16 = layer.compute_dtype == "bfloat16"
    if backend == "torch":
        x = _torch_dense(x, kernel, bias, gelu, layer.compute_dtype)
    elif in_bfloat16 and not gelu:
        x = _tensorflow_bfloat16_dense(x, kernel, bias)
    else:
        import tensorflow as tf

        # TensorFlow's remapper fuses these three operations.
        x = tf.nn.bias_add(tf.matmul(x, kernel), bias)
        x = tf.nn.gelu(x, approximate=True) if gelu else x
    return ops.reshape(x, (*shape, layer.units))


def matrix_product(a: Tensor, b: Tensor) -> Tensor:
    """Computes the product of two matrices as `dense` does.

    Args:
        a: float tensor of shape `(N, C)`.
        b: float tensor of shape `(C, M)`.

    Returns:
        Tensor of shape `(N, M)`.
    """
    if keras.backend.backend() == "torch":
        from keras_regen.layers import onednn

        dtype = keras.backend.standardize_dtype(a.dtype)
        if a.device.type == "cpu" and onednn.is_faster(dtype):
            return onednn.linear(a, b.T)
    return ops.matmul(a, b)


def plain_norm(name: str, dtype: Any) -> keras.layers.LayerNormalization:
    """Returns a `LayerNormalization` without scale and offset, for `layer_norm`."""
    return keras.layers.LayerNormalization(
        epsilon=1e-6, center=False, scale=False, dtype=dtype, name=name
    )


def layer_norm(layer: keras.layers.LayerNormalization, x: Tensor) -> Tensor:
    """Applies a `LayerNormalization` over the last axis, without scale and offset.

    In half precision on PyTorch, Keras copies to float32 and back, where PyTorch's own
    norm computes in float32 all the same.

    Args:
        layer: a `keras.layers.LayerNormalization`.
        x: float tensor.

    Returns:
        Tensor of the shape of `x`, in the layer's compute dtype.
    """
    if keras.backend.backend() != "torch":
        return layer(x)
    import torch

    x = ops.cast(x, layer.compute_dtype)
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=layer.epsilon)


def _jax_dense_gelu(layer, x):
    """Keeps the product for the backward pass, which adds bias and GELU again."""
    import jax

    x, kernel, bias = (
        ops.cast(value, layer.compute_dtype) for value in (x, layer.kernel, layer.bias)
    )
    add_gelu = jax.checkpoint(lambda x: ops.gelu(x + bias, approximate=True))
    return add_gelu(ops.matmul(x, kernel))


def _torch_dense(x, kernel, bias, gelu, dtype):
    import torch

    from keras_regen.layers import onednn

    if x.device.type == "cpu" and onednn.is_faster(dtype):
        return onednn.linear(x, kernel.T, bias, gelu)
    x = torch.addmm(bias, x, kernel)
    if torch.is_grad_enabled():
        return torch.nn.functional.gelu(x, approximate="tanh") if gelu else x
    # In place: allocating memory takes as long as the product in half precision.
    return torch.ops.aten.gelu_(x, approximate="tanh") if gelu else x


def _tensorflow_bfloat16_dense(x, kernel, bias):
    """Computes the product as a convolution, where oneDNN adds the bias faster."""
    import tensorflow as tf

    @tf.custom_gradient
    def product(x, kernel, bias):
        y = tf.nn.conv2d(x[None, :, None], kernel[None, None], 1, "VALID")
        y = tf.nn.bias_add(y, bias)[0, :, 0]

        def gradient(dy):
            # The gradients of the convolution take five times as long.
            dx = tf.matmul(dy, kernel, transpose_b=True)
            return dx, tf.matmul(x, dy, transpose_a=True), tf.reduce_sum(dy, 0)

        return y, gradient

    return product(x, kernel, bias)


def normalize_queries_and_keys(
    query_norm: keras.layers.RMSNormalization,
    key_norm: keras.layers.RMSNormalization,
    query: Tensor,
    key: Tensor,
    merge_scales: bool = True,
) -> tuple[Tensor, Tensor]:
    """Applies the query and key norms. May overwrite its inputs.

    On PyTorch, where passes over memory cost most, both scales are applied to the
    queries, and in place if no gradient is needed.

    Args:
        query_norm: a built `keras.layers.RMSNormalization` over the last axis.
        key_norm: a built `keras.layers.RMSNormalization` over the last axis.
        query: float tensor of shape `(..., D)`.
        key: float tensor of shape `(..., D)`.
        merge_scales: bool. Whether both scales may be applied to the queries. False if
            both are rotated before their product, which is not the same with the
            scale of the keys on the queries. Defaults to `True`.

    Returns:
        Pair of tensors, query and key. Their products are the same as for the layers'
        outputs.
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

    scale, key_scale = (
        ops.cast(norm.scale, norm.compute_dtype) for norm in (query_norm, key_norm)
    )
    if merge_scales:
        scale, key_scale = scale * key_scale, None
    return normalize(query, query_norm, scale), normalize(key, key_norm, key_scale)


def multiply_add(x: Tensor, factor: Tensor, term: Tensor) -> Tensor:
    """Computes `x * factor + term`, of the shape of `x`. May overwrite `x`."""
    if keras.backend.backend() == "torch":
        import torch

        # In place without a gradient: allocating memory takes longer than the sum.
        out = None if torch.is_grad_enabled() else x
        return torch.addcmul(term, x, factor, out=out)
    return x * factor + term


def add_depthwise_conv(x: Tensor, kernel: Tensor) -> Tensor:
    """Adds to the tokens a depthwise convolution over their spatial neighbours.

    Args:
        x: float tensor of shape `(B, F, h, w, C)`.
        kernel: float tensor of shape `(size, size, C)`, `size` odd.

    Returns:
        Tensor of the shape of `x`. The border is padded with zeros.
    """
    backend = keras.backend.backend()
    shape = ops.shape(x)
    _, _, height, width, channels = shape
    if backend == "jax":
        # XLA fuses shifted sums; its grouped convolutions are many times slower.
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

        # Keras's convolution would not keep the memory layout, channels last.
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


def causal_conv3d(
    x: Tensor, kernel: Tensor, bias: Tensor, strides: Sequence[int]
) -> Tensor:
    """Convolves in 3D over past and present frames, padded with zeros.

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
    if _fold_taps(kernel.shape):
        x = ops.concatenate(_taps(x, taps, time_stride), axis=-1)
        kernel = ops.transpose(kernel, (1, 2, 0, 3, 4))
        kernel = ops.reshape(kernel, (1, *sides, taps * channels, filters))
        taps, time_stride = 1, 1
    if backend == "torch":
        return _torch_conv3d(x, kernel, bias, (time_stride, *space_strides))
    if taps == 1:
        return _conv2d(x[:, ::time_stride], kernel[0], space_strides, bias)
    devices = ("cpu", "gpu") if sides == [1, 1] else ("cpu",)
    if backend == "jax" and device_type() in devices:
        return _jax_conv3d(x, kernel, strides) + bias
    in_space = map(_same_padding, ops.shape(x)[2:4], sides, space_strides)
    x = ops.pad(x, [[0, 0], [taps - 1, 0], *in_space, [0, 0]])
    return _add_bias(ops.conv(x, kernel, strides, "valid", "channels_last"), bias)


def _fold_taps(kernel_shape):
    """Returns whether the temporal taps of a kernel are to become channels."""
    taps, *sides, channels, filters = kernel_shape
    if taps == 1 or keras.backend.backend() == "tensorflow":
        return False
    # Too few channels for vector instructions; or XLA would transpose the input to
    # channels first, which costs more than folding an input that is narrow.
    narrow = channels < filters and sides != [1, 1]
    on_jax = keras.backend.backend() == "jax"
    return channels < MIN_CHANNELS or (narrow and on_jax and device_type() == "gpu")


def _jax_conv3d(x, kernel, strides):
    """Convolves in 3D by 2D convolutions.

    XLA's 3D convolutions are slow on CPUs, and have channels first on GPUs.
    """
    taps, *sides = kernel.shape[:3]
    time_stride, *space_strides = strides
    if sides != [1, 1]:
        parts = _taps(x, taps, time_stride)
        return sum(_conv2d(x, kernel[i], space_strides) for i, x in enumerate(parts))
    # Over time alone: a 2D convolution with time as rows and all pixels as columns.
    x = _pad_past(x[:, :, :: space_strides[0], :: space_strides[1]], taps)
    batch, time, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (batch, time, height * width, channels))
    x = ops.conv(x, kernel[:, :, 0], (time_stride, 1), "valid", "channels_last")
    return ops.reshape(x, (batch, ops.shape(x)[1], height, width, kernel.shape[-1]))


def _taps(x, count, stride):
    """Returns the input of each temporal tap of a kernel."""
    time = ops.shape(x)[1]
    x = _pad_past(x, count)
    return [x[:, i : i + time : stride] for i in range(count)]


def _pad_past(x, taps):
    """Pads with zeros before the first frame, for a kernel with this many taps."""
    return ops.pad(x, [[0, 0], [taps - 1, 0], [0, 0], [0, 0], [0, 0]])


def _same_padding(size, kernel_size, stride):
    """Returns the zeros before and after that "same" pads. Sizes may be symbols."""
    total = kernel_size - 1 - (size - 1) % stride
    if stride > kernel_size:
        total = ops.maximum(total, 0)
    return [total // 2, total - total // 2]


def _conv2d(x, kernel, strides, bias=None):
    """Convolves every frame of `(B, T, H, W, C)`."""
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
    """Adds the bias to the result of a convolution."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # TensorFlow's optimiser fuses this and the padding with the convolution. Not a
        # sum: with another sum after it, the optimiser would drop the padding.
        return tf.nn.bias_add(x, bias)
    return x + bias


def _torch_conv3d(x, kernel, bias, strides):
    """Calls PyTorch's convolution: Keras would copy to channels first."""
    import torch

    taps, *sides, channels, _ = kernel.shape
    # The convolution can pad both sides equally itself, but this takes twice as long
    # where the channels do not fill whole vectors.
    inside = channels % 16 == 0 and all(
        k % 2 and s == 1 for k, s in zip(sides, strides[1:], strict=True)
    )
    if inside:
        padding, around = (0, *(k // 2 for k in sides)), (0, 0, 0, 0)
    else:
        in_space = map(_same_padding, x.shape[2:4], sides, strides[1:])
        (top, bottom), (left, right) = in_space
        padding, around = (0, 0, 0), (left, right, top, bottom)
    if taps > 1 or not inside:
        x = torch.nn.functional.pad(x, (0, 0, *around, taps - 1, 0))
    if x.device.type == "cpu" and (taps == 1 or sides == [1, 1]):
        return _torch_conv2d(x, kernel, bias, strides, padding)
    x = torch.nn.functional.conv3d(
        x.movedim(-1, 1), kernel.permute(4, 3, 0, 1, 2), bias, strides, padding
    )
    return x.movedim(1, -1)


def _torch_conv2d(x, kernel, bias, strides, padding):
    """Convolves in 3D, over time alone or over space alone, by a 2D convolution.

    In 3D, PyTorch leaves oneDNN for a convolution of its own, up to four times slower,
    on one thread and for a single small clip.
    """
    import torch

    over_time = kernel.shape[0] > 1
    # Over time, rows and columns become one axis. Over space, frames join the batch.
    if over_time:
        x = x[:, :, :: strides[1], :: strides[2]]
        fold, kernel, strides, padding = (2, 3), kernel[:, 0], (strides[0], 1), 0
    else:
        x = x[:, :: strides[0]]
        fold, kernel, strides, padding = (0, 1), kernel[0], strides[1:], padding[1:]
    folded = x.shape[fold[0] : fold[1] + 1]
    x = torch.nn.functional.conv2d(
        x.flatten(*fold).movedim(-1, 1),
        kernel.permute(3, 2, 0, 1),
        bias,
        strides,
        padding,
    )
    return x.movedim(1, -1).unflatten(fold[0], folded)
