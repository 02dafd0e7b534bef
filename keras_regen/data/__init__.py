"""Reading and writing videos."""

import importlib

from keras_regen.data.bucket import Bucket
from keras_regen.data.bundled_clip import bundled_clip
from keras_regen.data.video_reader import VideoReader
from keras_regen.data.video_writer import VideoWriter

__all__ = ["Bucket", "VideoClips", "VideoReader", "VideoWriter", "bundled_clip"]


def __getattr__(name):
    # The one class that needs Keras, which importing this package does not import.
    if name == "VideoClips":
        return importlib.import_module("keras_regen.data.video_clips").VideoClips
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
