"""From video to tokens."""

from typing import Any

import keras

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.kernels import dense
from keras_regen.layers.patches import patchify
from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class PatchEmbedding(ConfiguredLayer):
    """Cuts every frame into patches of 8x8 pixels and projects each to one token.

    Args:
        units: int. Width of a token.

    Input shape:
        `(B, F, H, W, C)`, H and W multiples of 8.

    Output shape:
        `(B, F, H / 8, W / 8, units)`.

    Example:

    >>> tuple(PatchEmbedding(64)(keras.ops.ones((1, 3, 16, 24, 3))).shape)
    (1, 3, 2, 3, 64)

    Reference:
        Dosovitskiy et al. 2021, *An Image is Worth 16x16 Words*, section 3.1.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.projection = keras.layers.Dense(
            units, dtype=self.dtype_policy, name="projection"
        )

    def build(self, input_shape: Shape) -> None:
        self.projection.build((None, SPATIAL_COMPRESSION**2 * input_shape[-1]))

    def call(self, video: Tensor) -> Tensor:
        return dense(self.projection, patchify(video, SPATIAL_COMPRESSION))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, frames, height, width, _ = input_shape
        rows = None if height is None else height // SPATIAL_COMPRESSION
        columns = None if width is None else width // SPATIAL_COMPRESSION
        return (batch, frames, rows, columns, self.units)
