"""Reading and writing videos."""

from keras_regen.data.video import VideoReader, VideoWriter, bundled_clip

__all__ = ["VideoReader", "VideoWriter", "bundled_clip"]
