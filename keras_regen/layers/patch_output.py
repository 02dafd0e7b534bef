"""From tokens to video."""

from typing import Any

import keras
from keras import ops

from keras_regen.layers.configured_layer import ConfiguredLayer
from keras_regen.layers.dit_block import modulate
from keras_regen.layers.kernels import dense, layer_norm, plain_norm
from keras_regen.layers.patches import unpatchify
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class PatchOutput(ConfiguredLayer):
    """The DiT's last layer: modulated norm, projection to patches, patches to frames.

    Modulation and projection are zero at initialisation. The output is float32 under
    every policy.

    Args:
        units: int. Width of a token, D.
        channels: int. Channels of the video. Defaults to `3`.
        patch_size: int. Side of a patch in pixels. Defaults to `8`.
        overlap: int, at most half of `patch_size`. Pixels by which a patch extends over
            each of its neighbours. Overlapping patches are added, as in a transposed
            convolution with a kernel of `patch_size + 2 * overlap` pixels. Defaults to
            `0`.

    Raises:
        ValueError: if `overlap` is not as above.

    Call arguments:
        x: float tensor of shape `(B, F, h, w, D)`, the tokens.
        conditioning: float tensor of shape `(B, D)`, the timestep embedding.

    Output shape:
        `(B, F, h * patch_size, w * patch_size, channels)`, float32.

    Example:

    >>> layer = PatchOutput(64)
    >>> tuple(layer(keras.ops.ones((1, 3, 2, 3, 64)), keras.ops.ones((1, 64))).shape)
    (1, 3, 16, 24, 3)

    Reference:
        Peebles and Xie 2023, *Scalable Diffusion Models with Transformers* (DiT),
        section 3.2.
    """

    def __init__(
        self,
        units: int,
        channels: int = 3,
        patch_size: int = 8,
        overlap: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= 2 * overlap <= patch_size:
            raise ValueError(
                "`overlap` must be from 0 to half of `patch_size`. "
                f"Received: overlap={overlap}, patch_size={patch_size}"
            )
        self.units = units
        self.channels = channels
        self.patch_size = patch_size
        self.overlap = overlap
        dtype = self.dtype_policy
        self.norm = plain_norm("norm", dtype)
        self.modulation = keras.layers.Dense(
            2 * units, kernel_initializer="zeros", dtype=dtype, name="modulation"
        )
        self.projection = keras.layers.Dense(
            (patch_size + 2 * overlap) ** 2 * channels,
            kernel_initializer="zeros",
            dtype=dtype,
            name="projection",
        )

    def build(self, x_shape: Shape, conditioning_shape: Shape) -> None:
        self.norm.build(x_shape)
        self.modulation.build(conditioning_shape)
        self.projection.build(x_shape)

    def call(self, x: Tensor, conditioning: Tensor) -> Tensor:
        shift, scale = ops.split(self.modulation(ops.silu(conditioning)), 2, axis=-1)
        patches = dense(
            self.projection, modulate(layer_norm(self.norm, x), shift, scale)
        )
        patches = ops.cast(patches, "float32")
        return unpatchify(patches, self.patch_size, self.overlap)

    def compute_output_shape(self, x_shape: Shape, conditioning_shape: Shape) -> Shape:
        batch, frames, rows, columns, _ = x_shape
        height = None if rows is None else rows * self.patch_size
        width = None if columns is None else columns * self.patch_size
        return (batch, frames, height, width, self.channels)

    def compute_output_spec(self, x: Tensor, conditioning: Tensor) -> keras.KerasTensor:
        shape = self.compute_output_shape(x.shape, conditioning.shape)
        return keras.KerasTensor(shape, dtype="float32")
