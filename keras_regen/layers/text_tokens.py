"""A text as tokens to attend to."""

from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class TextTokens(ConfiguredLayer):
    """Projects the embeddings of a text, after one learned token that always counts.

    A text of which no token counts is the learned token alone: no text.

    Args:
        units: int. Channels of the output.

    Call arguments:
        text: float tensor of shape `(B, L, E)`.
        text_mask: bool tensor of shape `(B, L)`, which tokens count.

    Output shape:
        Pair of `(B, 1 + L, units)` and `(B, 1 + L)`, bool.

    Example:

    >>> mask = keras.ops.ones((1, 7), dtype="bool")
    >>> tokens, mask = TextTokens(16)(keras.ops.ones((1, 7, 32)), mask)
    >>> tuple(tokens.shape), tuple(mask.shape)
    ((1, 8, 16), (1, 8))

    Reference:
        Ho and Salimans 2022, *Classifier-Free Diffusion Guidance*, section 3.2 (a null
        token).
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.projection = keras.layers.Dense(
            units, dtype=self.dtype_policy, name="projection"
        )

    def build(self, text_shape: Shape, text_mask_shape: Shape | None = None) -> None:
        self.projection.build(text_shape)
        self.null = self.add_weight(
            shape=(self.units,), initializer="random_normal", name="null"
        )

    def call(self, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        text, mask = self.projection(text), ops.cast(text_mask, "bool")
        null = ops.broadcast_to(
            ops.cast(self.null, text.dtype), (ops.shape(text)[0], 1, self.units)
        )
        return (
            ops.concatenate([null, text], axis=1),
            ops.concatenate([ops.ones_like(mask[:, :1]), mask], axis=1),
        )

    def compute_output_shape(
        self, text_shape: Shape, text_mask_shape: Shape
    ) -> tuple[Shape, Shape]:
        length = None if text_shape[1] is None else text_shape[1] + 1
        return (text_shape[0], length, self.units), (text_mask_shape[0], length)

    def compute_output_spec(
        self, text: Any, text_mask: Any
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        shapes = self.compute_output_shape(text.shape, text_mask.shape)
        return (
            keras.KerasTensor(shapes[0], self.compute_dtype),
            keras.KerasTensor(shapes[1], "bool"),
        )
