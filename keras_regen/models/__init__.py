"""The models, and the presets they are saved to."""

from keras_regen.models.architectures import ARCHITECTURES, architecture
from keras_regen.models.dit_decoder import DiTDecoder
from keras_regen.models.parameters import count_parameters
from keras_regen.models.presets import bundled_presets, preset_metadata
from keras_regen.models.regen import Regen
from keras_regen.models.video_encoder import VideoEncoder

__all__ = [
    "ARCHITECTURES",
    "DiTDecoder",
    "Regen",
    "VideoEncoder",
    "architecture",
    "bundled_presets",
    "count_parameters",
    "preset_metadata",
]
