"""Editing: videos of which latents and noise are mixed, exchanged or compared."""

from keras_regen.editing.combination import combine, interpolate
from keras_regen.editing.comparison import (
    compare,
    compare_stream,
    spread,
    spread_stream,
)

__all__ = [
    "combine",
    "compare",
    "compare_stream",
    "interpolate",
    "spread",
    "spread_stream",
]
