"""Fixed sine-cosine positional encoding."""

import math
from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.types import Shape, Tensor

# The longest period is 2 pi times this, in tokens.
_MAX_PERIOD = 10000.0


@keras.saving.register_keras_serializable(package="keras_regen")
class SineCosinePositionalEncoding(ConfiguredLayer):
    """Adds fixed sines and cosines of (time, row, column) to the tokens.

    The channels are divided among the three axes. Only the in-context conditioning of
    the paper's ablation uses it: otherwise the latents are the only positional signal.

    Call arguments:
        x: float tensor of shape `(B, F, h, w, C)`, C at least 6.
        times: float tensor of shape `(B, F)`, the tokens' times in frames.

    Output shape:
        `(B, F, h, w, C)`.

    Example:

    >>> encoding = SineCosinePositionalEncoding()
    >>> tuple(encoding(keras.ops.ones((1, 3, 4, 4, 16)), keras.ops.ones((1, 3))).shape)
    (1, 3, 4, 4, 16)

    Reference:
        Vaswani et al. 2017, *Attention Is All You Need*, section 3.5.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autocast = False

    def _encode(self, positions, num_frequencies):
        exponents = ops.arange(num_frequencies, dtype="float32")
        frequencies = ops.exp(exponents * (-math.log(_MAX_PERIOD) / num_frequencies))
        phases = ops.cast(positions, "float32")[..., None] * frequencies
        return ops.concatenate([ops.sin(phases), ops.cos(phases)], axis=-1)

    def call(self, x: Tensor, times: Tensor) -> Tensor:
        _, _, height, width, _ = ops.shape(x)
        channels = x.shape[-1]
        x = ops.cast(x, self.compute_dtype)
        space = channels // 6
        time = channels // 2 - 2 * space
        # The dtype must be given: in exports the sizes are symbols without one.
        rows, columns = (ops.arange(size, dtype="float32") for size in (height, width))
        encoding = (
            (self._encode(times, time)[:, :, None, None], 0),
            (self._encode(rows, space)[None, None, :, None], 2 * time),
            (self._encode(columns, space)[None, None, None], 2 * (time + space)),
        )
        for part, start in encoding:
            after = channels - start - part.shape[-1]
            padding = [[0, 0]] * 4 + [[start, after]]
            x = x + ops.cast(ops.pad(part, padding), x.dtype)
        return x

    def compute_output_shape(self, x_shape: Shape, times_shape: Shape) -> Shape:
        return x_shape
