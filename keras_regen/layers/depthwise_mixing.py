"""Depthwise mixing of neighbouring tokens."""

from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.kernels import add_depthwise_conv
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class DepthwiseMixing(ConfiguredLayer):
    """Adds to each token a learned sum over its spatial neighbours, per channel.

    Attention without positional encodings cannot tell a neighbouring token from a
    distant one. This layer tells it about the neighbours and not about the position:
    the weights are the same everywhere, and zero at initialisation.

    Args:
        size: int, odd. Side of the square window, in tokens. Defaults to `3`.

    Input shape:
        `(B, F, h, w, C)`.

    Output shape:
        `(B, F, h, w, C)`.

    Example:

    >>> tuple(DepthwiseMixing()(keras.ops.ones((1, 2, 4, 4, 8))).shape)
    (1, 2, 4, 4, 8)

    Reference:
        Xie et al. 2021, *SegFormer*, section 3.1 (Mix-FFN in place of positions).
    """

    def __init__(self, size: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if size % 2 != 1:
            raise ValueError(f"`size` must be an odd int. Received: size={size}")
        self.size = size

    def build(self, input_shape: Shape) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.size, self.size, input_shape[-1]),
            initializer="zeros",
        )

    def call(self, x: Tensor) -> Tensor:
        return add_depthwise_conv(x, ops.convert_to_tensor(self.kernel))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
