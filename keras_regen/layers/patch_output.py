"""From tokens to video."""

from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.dit_block import modulate
from keras_regen.layers.kernels import dense, layer_norm, plain_norm
from keras_regen.layers.patches import unpatchify
from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class PatchOutput(ConfiguredLayer):
    """The DiT's last layer: modulated norm, projection to patches, patches to frames.

    Modulation and projection are zero at initialisation. The output is float32 under
    every policy.

    Args:
        units: int. Width of a token, D.
        overlap: int, from 0 to 4. Pixels by which a patch of 8x8 extends over each of
            its neighbours. Overlapping patches are added, as in a transposed
            convolution with a kernel of `8 + 2 * overlap` pixels. Defaults to `0`.

    Raises:
        ValueError: if `overlap` is not as above.

    Call arguments:
        x: float tensor of shape `(B, F, h, w, D)`, the tokens.
        embedding: float tensor of shape `(B, D)`, the timestep embedding.

    Output shape:
        `(B, F, 8h, 8w, 3)`, float32.

    Example:

    >>> layer = PatchOutput(64)
    >>> tuple(layer(keras.ops.ones((1, 3, 2, 3, 64)), keras.ops.ones((1, 64))).shape)
    (1, 3, 16, 24, 3)

    Reference:
        Peebles and Xie 2023, *Scalable Diffusion Models with Transformers* (DiT),
        section 3.2.
    """

    def __init__(self, units: int, overlap: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= 2 * overlap <= SPATIAL_COMPRESSION:
            raise ValueError(
                f"`overlap` must be from 0 to {SPATIAL_COMPRESSION // 2}. "
                f"Received: overlap={overlap}"
            )
        self.units = units
        self.overlap = overlap
        dtype = self.dtype_policy
        self.norm = plain_norm("norm", dtype)
        self.modulation = keras.layers.Dense(
            2 * units, kernel_initializer="zeros", dtype=dtype, name="modulation"
        )
        self.projection = keras.layers.Dense(
            3 * (SPATIAL_COMPRESSION + 2 * overlap) ** 2,
            kernel_initializer="zeros",
            dtype=dtype,
            name="projection",
        )

    def build(self, x_shape: Shape, embedding_shape: Shape) -> None:
        self.norm.build(x_shape)
        self.modulation.build(embedding_shape)
        self.projection.build(x_shape)

    def call(self, x: Tensor, embedding: Tensor) -> Tensor:
        shift, scale = ops.split(self.modulation(ops.silu(embedding)), 2, axis=-1)
        patches = dense(
            self.projection, modulate(layer_norm(self.norm, x), shift, scale)
        )
        patches = ops.cast(patches, "float32")
        return unpatchify(patches, SPATIAL_COMPRESSION, self.overlap)

    def compute_output_shape(self, x_shape: Shape, embedding_shape: Shape) -> Shape:
        batch, frames, rows, columns, _ = x_shape
        height = None if rows is None else rows * SPATIAL_COMPRESSION
        width = None if columns is None else columns * SPATIAL_COMPRESSION
        return (batch, frames, height, width, 3)

    def compute_output_spec(self, x: Tensor, embedding: Tensor) -> keras.KerasTensor:
        shape = self.compute_output_shape(x.shape, embedding.shape)
        return keras.KerasTensor(shape, dtype="float32")
