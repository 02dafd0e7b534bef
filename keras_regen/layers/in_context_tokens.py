"""In-context conditioning: the latents as extra tokens."""

from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class InContextTokens(ConfiguredLayer):
    """Appends the latents to the tokens as two more frames.

    In-context conditioning, which the paper's ablation compares with the content-aware
    positional encoding.

    Args:
        units: int. Width of a token, D.

    Call arguments:
        x: float tensor of shape `(B, F, h, w, D)`, the tokens.
        latents: float tensor of shape `(B, 2, h, w, C)`, or `(B, 1, h, w, C)` for an
            image, whose motion is taken as zero.

    Output shape:
        `(B, F + 2, h, w, D)`.

    Example:

    >>> layer = InContextTokens(32)
    >>> x, z = keras.ops.ones((1, 9, 4, 6, 32)), keras.ops.ones((1, 2, 4, 6, 8))
    >>> tuple(layer(x, z).shape)
    (1, 11, 4, 6, 32)

    Reference:
        Zhang et al. 2025, *REGEN*, section 4.4 and table 3.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.content = keras.layers.Dense(
            units, dtype=self.dtype_policy, name="content"
        )
        self.motion = keras.layers.Dense(units, dtype=self.dtype_policy, name="motion")

    def build(self, x_shape: Shape, latents_shape: Shape) -> None:
        self.content.build(latents_shape)
        self.motion.build(latents_shape)

    def call(self, x: Tensor, latents: Tensor) -> Tensor:
        latents = ops.pad(latents, [[0, 0], [0, 1], [0, 0], [0, 0], [0, 0]])
        tokens = [x, self.content(latents[:, :1]), self.motion(latents[:, 1:2])]
        return ops.concatenate(tokens, axis=1)

    def compute_output_shape(self, x_shape: Shape, latents_shape: Shape) -> Shape:
        frames = None if x_shape[1] is None else x_shape[1] + 2
        return (x_shape[0], frames, *x_shape[2:])
