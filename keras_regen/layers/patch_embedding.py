"""From video to tokens."""

from typing import Any

import keras

from keras_regen.layers.configured_layer import ConfiguredLayer
from keras_regen.layers.kernels import dense
from keras_regen.layers.patches import patchify
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class PatchEmbedding(ConfiguredLayer):
    """Cuts every frame into patches and projects each to one token.

    Args:
        units: int. Width of a token.
        patch_size: int. Side of a patch in pixels. Defaults to `8`.

    Input shape:
        `(B, F, H, W, C)`, H and W multiples of `patch_size`.

    Output shape:
        `(B, F, H / patch_size, W / patch_size, units)`.

    Example:

    >>> tuple(PatchEmbedding(64)(keras.ops.ones((1, 3, 16, 24, 3))).shape)
    (1, 3, 2, 3, 64)

    Reference:
        Dosovitskiy et al. 2021, *An Image is Worth 16x16 Words*, section 3.1.
    """

    def __init__(self, units: int, patch_size: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.patch_size = patch_size
        self.projection = keras.layers.Dense(
            units, dtype=self.dtype_policy, name="projection"
        )

    def build(self, input_shape: Shape) -> None:
        self.projection.build((None, self.patch_size**2 * input_shape[-1]))

    def call(self, video: Tensor) -> Tensor:
        return dense(self.projection, patchify(video, self.patch_size))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, frames, height, width, _ = input_shape
        rows = None if height is None else height // self.patch_size
        columns = None if width is None else width // self.patch_size
        return (batch, frames, rows, columns, self.units)
