"""Whole videos, of any length and size, to latents and back."""

from keras_regen.codec.frames import Frames, open_frames
from keras_regen.codec.memory import waiting_frames
from keras_regen.codec.pipeline import map_in_thread
from keras_regen.codec.stitcher import FADE_TOLERANCE
from keras_regen.codec.tiling import Tiling
from keras_regen.codec.video_codec import VideoCodec

__all__ = [
    "FADE_TOLERANCE",
    "Frames",
    "Tiling",
    "VideoCodec",
    "map_in_thread",
    "open_frames",
    "waiting_frames",
]
