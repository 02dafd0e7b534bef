"""SIREN modulated by a latent."""

import math
from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.kernels import dense
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class ModulatedSiren(ConfiguredLayer):
    """A sine-activated MLP from a coordinate to features, modulated by a latent.

    Layer `l` computes `sin(omega * (1 + scale_l(z)) * (W_l x + b_l) + shift_l(z))`;
    scale and shift are linear in the latent `z` at each location. The whole layer is
    float32 under every dtype policy: the sine of a rounded phase is noise.

    Args:
        features: int. Width of every layer and of the output.
        depth: int. Number of sine layers, at least 1. Defaults to `3`.
        first_omega: float. Frequency of the first layer. With coordinates `2 t / k - 1`
            for `k + 1` frames, the frames determine frequencies up to `pi * k / 2`;
            above it the values between frames are arbitrary. Defaults to the published
            `30.0`.
        hidden_omega: float. Frequency of the later layers. It cancels in the
            initialisation and scales the optimiser's step. Defaults to the published
            `30.0`.

    Call arguments:
        coordinates: float tensor of shape `(B, F)`.
        latents: float tensor of shape `(B, h, w, C)`.

    Output shape:
        `(B, F, h, w, features)`, float32, in [-1, 1].

    Example:

    >>> siren = ModulatedSiren(16)
    >>> tuple(siren(keras.ops.ones((1, 9)), keras.ops.ones((1, 4, 6, 8))).shape)
    (1, 9, 4, 6, 16)

    Reference:
        Sitzmann et al. 2020, *Implicit Neural Representations with Periodic Activation
        Functions*, section 3.2 (initialisation); Zhang et al. 2025 (REGEN), equation 3.
    """

    def __init__(
        self,
        features: int,
        depth: int = 3,
        first_omega: float = 30.0,
        hidden_omega: float = 30.0,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        if depth < 1:
            raise ValueError(f"`depth` must be at least 1. Received: depth={depth}")
        self.features = features
        self.depth = depth
        self.first_omega = first_omega
        self.hidden_omega = hidden_omega
        self.linears, self.modulators = [], []
        for i in range(depth):
            fan_in, omega = (1, 1.0) if i == 0 else (features, hidden_omega)
            bound = 1.0 if i == 0 else math.sqrt(6 / fan_in) / omega
            uniform = keras.initializers.RandomUniform
            self.linears.append(
                keras.layers.Dense(
                    features,
                    kernel_initializer=uniform(-bound, bound),
                    bias_initializer=uniform(-bound, bound),
                    dtype="float32",
                    name=f"linear_{i}",
                )
            )
            self.modulators.append(
                keras.layers.Dense(2 * features, dtype="float32", name=f"modulator_{i}")
            )

    def build(self, coordinates_shape: Shape, latents_shape: Shape) -> None:
        for i, (linear, modulator) in enumerate(
            zip(self.linears, self.modulators, strict=True)
        ):
            linear.build((None, 1 if i == 0 else self.features))
            modulator.build(latents_shape)

    def call(self, coordinates: Tensor, latents: Tensor) -> Tensor:
        x = coordinates[:, :, None, None, None]
        omega = self.first_omega
        for linear, modulator in zip(self.linears, self.modulators, strict=True):
            scale, shift = ops.split(modulator(latents)[:, None], 2, axis=-1)
            x = ops.sin(omega * (1.0 + scale) * dense(linear, x) + shift)
            omega = self.hidden_omega
        return x

    def compute_output_shape(
        self, coordinates_shape: Shape, latents_shape: Shape
    ) -> Shape:
        return (*coordinates_shape, *latents_shape[1:3], self.features)
