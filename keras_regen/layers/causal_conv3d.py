"""Causal 3D convolution."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.kernels import causal_conv3d
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class CausalConv3D(ConfiguredLayer):
    """3D convolution whose output never sees a later frame.

    Time is padded with zeros on the past side only; space is padded to "same".

    Args:
        filters: int. Number of output channels.
        kernel_size: tuple of 3 ints `(time, height, width)`.
        strides: tuple of 3 ints `(time, height, width)`. Defaults to `(1, 1, 1)`.

    Input shape:
        `(B, T, H, W, C)`.

    Output shape:
        `(B, ceil(T / time_stride), ceil(H / stride), ceil(W / stride), filters)`.
        Output frame `i` depends on input frames `0` to `i * time_stride`.

    Example:

    >>> layer = CausalConv3D(8, (3, 3, 3), strides=(2, 2, 2))
    >>> tuple(layer(keras.ops.ones((1, 5, 16, 16, 3))).shape)
    (1, 3, 8, 8, 8)

    Reference:
        Yu et al. 2023, *Language Model Beats Diffusion: Tokenizer is Key to Visual
        Generation* (MAGVIT-v2), section 3.1.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sequence[int],
        strides: Sequence[int] = (1, 1, 1),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.strides = tuple(strides)
        if len(self.kernel_size) != 3 or len(self.strides) != 3:
            raise ValueError(
                "`kernel_size` and `strides` must be tuples of 3 ints (time, height, "
                f"width). Received: kernel_size={kernel_size}, strides={strides}"
            )

    def build(self, input_shape: Shape) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, input_shape[-1], self.filters),
            initializer="glorot_uniform",
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.filters,), initializer="zeros"
        )

    def call(self, inputs: Tensor) -> Tensor:
        kernel, bias = map(ops.convert_to_tensor, (self.kernel, self.bias))
        return causal_conv3d(inputs, kernel, bias, self.strides)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = [
            None if size is None else -(-size // stride)
            for size, stride in zip(input_shape[1:4], self.strides, strict=True)
        ]
        return (input_shape[0], *sizes, self.filters)
