"""REGEN's content-aware positional encoding."""

import math
from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.kernels import dense
from keras_regen.layers.modulated_siren import ModulatedSiren
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class ContentAwarePositionalEncoding(ConfiguredLayer):
    """Expands two latent frames to one embedding per token, at any times.

    `C_e(x, y, t) = M_s(z_c(x, y) (+) M_t(t | z_m(x, y)))`: a SIREN `M_t` of the time,
    modulated at each location by the motion latent, is concatenated with the content
    latent and projected by a linear `M_s`. It is the decoder's only positional signal,
    so any size, aspect ratio and set of times can be decoded.

    Args:
        units: int. Width of the transformer, D.
        temporal_compression: int. Frames after the first in one chunk, k.
        siren_features: int. Width of the SIREN. Defaults to `128`.

    Call arguments:
        latents: float tensor of shape `(B, 2, h, w, C)`, content then motion; or
            `(B, 1, h, w, C)`, the content of an image, whose motion is taken as zero.
        times: float tensor of shape `(B, F)`, in frames from the chunk's first: times
            from 0 to k are inside the chunk, fractions are between frames.

    Output shape:
        `(B, F, h, w, units)`.

    Example:

    >>> encoding = ContentAwarePositionalEncoding(64, temporal_compression=8)
    >>> tuple(encoding(keras.ops.ones((1, 2, 4, 6, 8)), keras.ops.ones((1, 5))).shape)
    (1, 5, 4, 6, 64)

    Reference:
        Zhang et al. 2025, *REGEN*, section 3.2, equation 3.
    """

    def __init__(
        self,
        units: int,
        temporal_compression: int,
        siren_features: int = 128,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.temporal_compression = temporal_compression
        self.siren_features = siren_features
        self.siren = ModulatedSiren(
            siren_features,
            # The published 30, but no higher than k + 1 frames can determine.
            first_omega=min(30.0, math.pi * temporal_compression / 2),
            hidden_omega=1.0,
            name="siren",
        )
        self.projection = keras.layers.Dense(
            units, dtype=self.dtype_policy, name="projection"
        )
        # With autocasting the times would be rounded to half precision.
        self.autocast = False

    def build(self, latents_shape: Shape, times_shape: Shape) -> None:
        batch, _, height, width, channels = latents_shape
        self.siren.build(times_shape, (batch, height, width, channels))
        self.projection.build((None, channels + self.siren_features))

    def call(self, latents: Tensor, times: Tensor) -> Tensor:
        content = ops.cast(latents[:, :1], "float32")
        # An image has no second latent frame: the padding is its motion.
        motion = ops.pad(latents, [[0, 0], [0, 1], [0, 0], [0, 0], [0, 0]])[:, 1]
        motion = ops.cast(motion, "float32")
        coordinates = 2.0 * ops.cast(times, "float32") / self.temporal_compression - 1.0
        features = self.siren(coordinates, motion)
        batch, frames, height, width, _ = ops.shape(features)
        content = ops.broadcast_to(
            content, (batch, frames, height, width, content.shape[-1])
        )
        expanded = ops.concatenate([content, features], axis=-1)
        return dense(self.projection, expanded)

    def compute_output_shape(self, latents_shape: Shape, times_shape: Shape) -> Shape:
        return (*times_shape, *latents_shape[2:4], self.units)
