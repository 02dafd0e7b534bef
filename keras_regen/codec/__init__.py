"""Whole videos, of any length and size."""

from keras_regen.codec.latent_clips import LatentClips
from keras_regen.codec.latent_dataset import LatentDataset
from keras_regen.codec.latent_statistics import LatentStatistics
from keras_regen.codec.latents import Latents
from keras_regen.codec.latents_file import LatentsWriter
from keras_regen.codec.video_codec import VideoCodec

__all__ = [
    "LatentClips",
    "LatentDataset",
    "LatentStatistics",
    "Latents",
    "LatentsWriter",
    "VideoCodec",
]
