"""A dense layer for latent frames of two kinds."""

from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class AlternatingDense(ConfiguredLayer):
    """Projects content and motion latents, each by a dense layer of its own.

    Args:
        units: int. Channels of the output.
        kernel_initializer: initialiser of both kernels. Defaults to
            `"glorot_uniform"`.

    Call arguments:
        x: float tensor of shape `(B, 2n, h, w, C)`: content and motion in turns.

    Output shape:
        `(B, 2n, h, w, units)`.

    Example:

    >>> tuple(AlternatingDense(16)(keras.ops.ones((1, 4, 2, 3, 8))).shape)
    (1, 4, 2, 3, 16)
    """

    def __init__(
        self, units: int, kernel_initializer: Any = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = kernel_initializer
        self.content, self.motion = (
            keras.layers.Dense(
                units,
                kernel_initializer=kernel_initializer,
                dtype=self.dtype_policy,
                name=name,
            )
            for name in ("content", "motion")
        )

    def build(self, input_shape: Shape) -> None:
        self.content.build(input_shape)
        self.motion.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        shape = (*ops.shape(x)[:-1], self.units)
        parts = [self.content(x[:, 0::2]), self.motion(x[:, 1::2])]
        return ops.reshape(ops.stack(parts, axis=2), shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)
