"""Embedders: video autoencoders and codecs behind one interface."""

from keras_regen.evaluation.embedders.checkpoint_embedders import (
    OmniTokenizerEmbedder,
    VidTokEmbedder,
    WFVAEEmbedder,
)
from keras_regen.evaluation.embedders.diffusers_embedder import (
    FAMILIES,
    DiffusersEmbedder,
)
from keras_regen.evaluation.embedders.embedder import Embedder, Reconstruction
from keras_regen.evaluation.embedders.registry import load_embedder
from keras_regen.evaluation.embedders.torch_embedder import (
    LatentGrid,
    TorchEmbedder,
    import_torch,
)
from keras_regen.evaluation.embedders.video_codec_embedder import VideoCodecEmbedder
from keras_regen.evaluation.embedders.x264 import X264
from keras_regen.evaluation.embedders.zonal_dct import ZonalDct

__all__ = [
    "FAMILIES",
    "X264",
    "DiffusersEmbedder",
    "Embedder",
    "LatentGrid",
    "OmniTokenizerEmbedder",
    "Reconstruction",
    "TorchEmbedder",
    "VidTokEmbedder",
    "VideoCodecEmbedder",
    "WFVAEEmbedder",
    "ZonalDct",
    "import_torch",
    "load_embedder",
]
