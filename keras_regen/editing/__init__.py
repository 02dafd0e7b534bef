"""Editing: videos of which latents and noise are mixed, exchanged or compared."""

from keras_regen.editing.combination import combine, interpolate
from keras_regen.editing.comparison import compare, spread

__all__ = ["combine", "compare", "interpolate", "spread"]
