"""Rotary positional encoding in space and time."""

from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.types import Shape, Tensor

# The longest period is 2 pi times this, in frames, rows and columns.
_MAX_PERIOD = 10000.0


@keras.saving.register_keras_serializable(package="keras_regen")
class RotaryPositions(ConfiguredLayer):
    """Angles by which queries and keys are turned, from their times, rows and columns.

    Attention between two turned tokens depends on the distance between them. A quarter
    of the angles are of time, the others of rows and columns, equally. They are float32
    under every dtype policy.

    Args:
        head_dim: int. Channels of an attention head, a multiple of 16.

    Call arguments:
        x: tensor of shape `(B, F, h, w, C)`, the tokens, of which only the shape
            matters.
        times: float tensor of shape `(B, F)`, in frames.

    Output shape:
        `(B, F, h, w, head_dim / 2)`, float32, in radians.

    Raises:
        ValueError: if `head_dim` is not a multiple of 16.

    Example:

    >>> x, times = keras.ops.ones((1, 4, 2, 3, 8)), keras.ops.ones((1, 4))
    >>> tuple(RotaryPositions(32)(x, times).shape)
    (1, 4, 2, 3, 16)

    Reference:
        Su et al. 2021, *RoFormer: Enhanced Transformer with Rotary Position Embedding*,
        section 3.2; Heo et al. 2024, *Rotary Position Embedding for Vision
        Transformer*, section 3.2 (axes).
    """

    def __init__(self, head_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if head_dim % 16:
            raise ValueError(
                f"`head_dim` must be a multiple of 16. Received: head_dim={head_dim}"
            )
        self.head_dim = head_dim
        self.autocast = False
        self.built = True

    def call(self, x: Tensor, times: Tensor) -> Tensor:
        batch, frames, rows, columns, _ = ops.shape(x)
        of_time = self.head_dim // 8
        of_space = 3 * of_time // 2
        parts = (
            self._angles(ops.cast(times, "float32"), of_time)[:, :, None, None],
            self._angles(ops.arange(rows, dtype="float32"), of_space)[:, None],
            self._angles(ops.arange(columns, dtype="float32"), of_space),
        )
        shape = (batch, frames, rows, columns)
        return ops.concatenate(
            [ops.broadcast_to(part, (*shape, part.shape[-1])) for part in parts],
            axis=-1,
        )

    def _angles(self, positions, count):
        """Returns the angles of `positions`, with one more axis of length `count`."""
        exponents = ops.arange(count, dtype="float32") / count
        return positions[..., None] * _MAX_PERIOD**-exponents

    def compute_output_shape(self, x_shape: Shape, times_shape: Shape) -> Shape:
        return (*x_shape[:-1], self.head_dim // 2)

    def compute_output_spec(self, x: Any, times: Any) -> keras.KerasTensor:
        return keras.KerasTensor(
            self.compute_output_shape(x.shape, times.shape), "float32"
        )


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turns the two halves of the channels into each other.

    Args:
        x: float tensor of shape `(..., heads, head_dim)`.
        angles: float32 tensor of shape `(..., head_dim / 2)`, in radians.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    angles = ops.expand_dims(angles, -2)
    cos, sin = (ops.cast(f(angles), x.dtype) for f in (ops.cos, ops.sin))
    first, second = ops.split(x, 2, axis=-1)
    return ops.concatenate(
        [first * cos - second * sin, second * cos + first * sin], axis=-1
    )
