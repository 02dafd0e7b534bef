"""Embedding of the diffusion time."""

import math
from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class TimestepEmbedding(ConfiguredLayer):
    """Sine and cosine features of the diffusion time, then a two-layer MLP.

    The features are float32 under every dtype policy.

    Args:
        units: int. Width of the embedding.
        num_frequencies: int. Half the number of features. Defaults to `128`.
        max_period: float. Longest period, on a time scaled to [0, 1000]. Defaults to
            `10000.0`.

    Call arguments:
        timestep: float tensor of any shape, in [0, 1]: 0 is data, 1 is noise.

    Output shape:
        The input's shape with a last axis of `units`.

    Example:

    >>> tuple(TimestepEmbedding(64)(keras.ops.array([0.0, 0.5, 1.0])).shape)
    (3, 64)

    Reference:
        Peebles and Xie 2023, *Scalable Diffusion Models with Transformers* (DiT),
        section 3.2.
    """

    def __init__(
        self,
        units: int,
        num_frequencies: int = 128,
        max_period: float = 10000.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.num_frequencies = num_frequencies
        self.max_period = max_period
        self.autocast = False
        self.hidden = keras.layers.Dense(
            units, activation="silu", dtype=self.dtype_policy, name="hidden"
        )
        self.output_projection = keras.layers.Dense(
            units, dtype=self.dtype_policy, name="output_projection"
        )

    def build(self, input_shape: Shape) -> None:
        self.hidden.build((None, 2 * self.num_frequencies))
        self.output_projection.build((None, self.units))

    def call(self, timestep: Tensor) -> Tensor:
        exponents = ops.arange(self.num_frequencies, dtype="float32")
        frequencies = ops.exp(
            exponents * (-math.log(self.max_period) / self.num_frequencies)
        )
        phases = 1000.0 * ops.cast(timestep, "float32")[..., None] * frequencies
        features = ops.concatenate([ops.cos(phases), ops.sin(phases)], axis=-1)
        return self.output_projection(
            self.hidden(ops.cast(features, self.compute_dtype))
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.units)
