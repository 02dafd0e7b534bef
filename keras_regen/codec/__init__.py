"""Whole videos, of any length and size."""

from keras_regen.codec.latents import Latents
from keras_regen.codec.latents_file import LatentsWriter
from keras_regen.codec.video_codec import VideoCodec

__all__ = ["Latents", "LatentsWriter", "VideoCodec"]
