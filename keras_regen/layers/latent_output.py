"""From tokens to latents."""

from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.alternating_dense import AlternatingDense
from keras_regen.layers.kernels import layer_norm, multiply_add, plain_norm
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class LatentOutput(ConfiguredLayer):
    """Normalises and modulates tokens, and projects them to latents in float32.

    Args:
        units: int. Width of the tokens, D.
        channels: int. Channels of a latent frame. Defaults to `8`.

    Call arguments:
        x: float tensor of shape `(B, 2n, h, w, D)`, the tokens.
        embedding: float tensor of shape `(B, 2n, D)`, the embeddings of the
            diffusion times.

    Output shape:
        `(B, 2n, h, w, channels)`.

    Example:

    >>> x, t = keras.ops.ones((1, 4, 2, 3, 16)), keras.ops.ones((1, 4, 16))
    >>> tuple(LatentOutput(16)(x, t).shape)
    (1, 4, 2, 3, 8)
    """

    def __init__(self, units: int, channels: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.channels = channels
        self.norm = plain_norm("norm", self.dtype_policy)
        self.modulation = keras.layers.Dense(
            2 * units,
            kernel_initializer="zeros",
            dtype=self.dtype_policy,
            name="modulation",
        )
        self.projection = AlternatingDense(
            channels,
            kernel_initializer="zeros",
            dtype=self.dtype_policy,
            name="projection",
        )

    def build(self, x_shape: Shape, embedding_shape: Shape) -> None:
        self.modulation.build(embedding_shape)
        self.norm.build(x_shape)
        self.projection.build(x_shape)

    def call(self, x: Tensor, embedding: Tensor) -> Tensor:
        shift, scale = (
            part[:, :, None, None]
            for part in ops.split(self.modulation(ops.silu(embedding)), 2, axis=-1)
        )
        x = multiply_add(layer_norm(self.norm, x), 1.0 + scale, shift)
        return ops.cast(self.projection(x), "float32")

    def compute_output_shape(self, x_shape: Shape, embedding_shape: Shape) -> Shape:
        return (*x_shape[:-1], self.channels)

    def compute_output_spec(self, x: Any, embedding: Any) -> keras.KerasTensor:
        shape = self.compute_output_shape(x.shape, embedding.shape)
        return keras.KerasTensor(shape, "float32")
