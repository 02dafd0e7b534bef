"""The latents of whole videos: in memory, in files and as batches."""

from typing import TYPE_CHECKING

from keras_regen.latents.chunk_layout import ChunkLayout
from keras_regen.latents.dataset_index import TEXT
from keras_regen.latents.inverted_noise import InvertedNoise, noise_at, slerp
from keras_regen.latents.latent_dataset import LatentDataset
from keras_regen.latents.latent_statistics import LatentStatistics
from keras_regen.latents.latents import Latents, as_latents
from keras_regen.latents.latents_file import SUFFIXES, LatentsWriter
from keras_regen.latents.lazy_array import LazyArray
from keras_regen.latents.ray_encoding import encode_with_ray
from keras_regen.lazy import lazy_exports

if TYPE_CHECKING:
    from keras_regen.latents.latent_clips import LatentClips

__all__ = [
    "SUFFIXES",
    "TEXT",
    "ChunkLayout",
    "InvertedNoise",
    "LatentClips",
    "LatentDataset",
    "LatentStatistics",
    "Latents",
    "LatentsWriter",
    "LazyArray",
    "as_latents",
    "encode_with_ray",
    "noise_at",
    "slerp",
]

# Importing these imports Keras, which importing the package does not.
__getattr__, __dir__ = lazy_exports(
    __name__,
    __all__,
    {
        "LatentClips": "latent_clips",
    },
)
