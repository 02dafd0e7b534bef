"""Causal upsampling by depth to space."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.causal_conv3d import CausalConv3D
from keras_regen.layers.patches import unpatchify
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class CausalUpsample3D(ConfiguredLayer):
    """A causal convolution whose channels become frames and pixels: depth to space.

    In shape it is the inverse of a strided `CausalConv3D`: the first frame gives one
    frame and each later one `time_stride` frames, so an image stays an image.

    Args:
        filters: int. Number of output channels.
        kernel_size: tuple of 3 ints `(time, height, width)`.
        strides: tuple of 2 ints `(time, space)`, the factors of upsampling.

    Input shape:
        `(B, T, H, W, C)`.

    Output shape:
        `(B, (T - 1) * time_stride + 1, H * stride, W * stride, filters)`.

    Example:

    >>> layer = CausalUpsample3D(8, (3, 3, 3), strides=(2, 2))
    >>> tuple(layer(keras.ops.ones((1, 3, 4, 6, 16))).shape)
    (1, 5, 8, 12, 8)

    Reference:
        Yu et al. 2023, *Language Model Beats Diffusion* (MAGVIT-v2), appendix A.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sequence[int],
        strides: Sequence[int],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.strides = tuple(strides)
        time, space = self.strides
        self.conv = CausalConv3D(
            filters * time * space**2,
            self.kernel_size,
            dtype=self.dtype_policy,
            name="conv",
        )

    def build(self, input_shape: Shape) -> None:
        self.conv.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        time, space = self.strides
        x = unpatchify(self.conv(inputs), space)
        if time == 1:
            return x
        batch, frames, height, width, _ = ops.shape(x)
        x = ops.reshape(x, (batch, frames, height, width, time, self.filters))
        x = ops.transpose(x, (0, 1, 4, 2, 3, 5))
        x = ops.reshape(x, (batch, frames * time, height, width, self.filters))
        return x[:, time - 1 :]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, frames, *sizes, _ = input_shape
        time, space = self.strides
        frames = None if frames is None else (frames - 1) * time + 1
        sizes = [None if size is None else size * space for size in sizes]
        return (batch, frames, *sizes, self.filters)
