"""The models that users hold, their architectures, costs and presets."""

from keras_regen.bundled import bundled_presets
from keras_regen.models.architectures import ARCHITECTURES, architecture
from keras_regen.models.compiled_model import CompiledModel, with_values
from keras_regen.models.config_checks import check_latent_transformer
from keras_regen.models.conv_autoencoder import ConvAutoencoder
from keras_regen.models.conv_decoder import ConvDecoder
from keras_regen.models.costs import (
    count_parameters,
    decoder_bytes,
    decoder_operations,
    encoder_bytes,
    encoder_operations,
    training_operations,
)
from keras_regen.models.dit_decoder import DiTDecoder
from keras_regen.models.factory import build_model
from keras_regen.models.inference import finish, predictor
from keras_regen.models.input_checks import (
    MAX_LATENT,
    check_latent_values,
)
from keras_regen.models.layout_map import latent_layout_map
from keras_regen.models.presets import (
    METADATA,
    TEXT,
    absolute_preset,
    load_model,
    preset_card,
    preset_directory,
    preset_kind,
    preset_metadata,
    preset_name,
    save_preset,
    upload_preset,
)
from keras_regen.models.regen import Regen
from keras_regen.models.trained_model import TrainedModel, assign_averages
from keras_regen.models.transfer import change_compression, transfer_weights
from keras_regen.models.video_encoder import VideoEncoder
from keras_regen.models.weights_file import to_int8, tolerates_rounding

__all__ = [
    "ARCHITECTURES",
    "MAX_LATENT",
    "METADATA",
    "TEXT",
    "CompiledModel",
    "ConvAutoencoder",
    "ConvDecoder",
    "DiTDecoder",
    "Regen",
    "TrainedModel",
    "VideoEncoder",
    "absolute_preset",
    "architecture",
    "assign_averages",
    "build_model",
    "bundled_presets",
    "change_compression",
    "check_latent_transformer",
    "check_latent_values",
    "count_parameters",
    "decoder_bytes",
    "decoder_operations",
    "encoder_bytes",
    "encoder_operations",
    "finish",
    "latent_layout_map",
    "load_model",
    "predictor",
    "preset_card",
    "preset_directory",
    "preset_kind",
    "preset_metadata",
    "preset_name",
    "save_preset",
    "to_int8",
    "tolerates_rounding",
    "training_operations",
    "transfer_weights",
    "upload_preset",
    "with_values",
]
