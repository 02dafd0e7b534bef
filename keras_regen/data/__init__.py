"""Reading and writing videos."""

from keras_regen.data.bundled_clip import bundled_clip
from keras_regen.data.video_reader import VideoReader
from keras_regen.data.video_writer import VideoWriter

__all__ = ["VideoReader", "VideoWriter", "bundled_clip"]
