"""The models, and the presets they are saved to."""

from keras_regen.models.architectures import ARCHITECTURES, architecture
from keras_regen.models.conv_autoencoder import ConvAutoencoder
from keras_regen.models.conv_decoder import ConvDecoder
from keras_regen.models.dit_decoder import DiTDecoder
from keras_regen.models.parameters import count_parameters
from keras_regen.models.presets import bundled_presets, load_model, preset_metadata
from keras_regen.models.regen import Regen
from keras_regen.models.video_encoder import VideoEncoder

__all__ = [
    "ARCHITECTURES",
    "ConvAutoencoder",
    "ConvDecoder",
    "DiTDecoder",
    "Regen",
    "VideoEncoder",
    "architecture",
    "bundled_presets",
    "count_parameters",
    "load_model",
    "preset_metadata",
]
