"""Reading and writing videos frame by frame, without importing Keras."""

from keras_regen.video.colour import RgbConverter, h264_pixel_format, tag_bt709
from keras_regen.video.container import is_on_its_side, turn_upright
from keras_regen.video.frame_access import open_access
from keras_regen.video.image_directory import find_images
from keras_regen.video.listing import (
    bundled_clip,
    find_conditions,
    find_videos,
    video_digest,
)
from keras_regen.video.raw_video import RAW_SUFFIX
from keras_regen.video.sound import Sound, warn_without_sound
from keras_regen.video.source import UnreadableError
from keras_regen.video.video_reader import DEFAULT_FPS, VideoReader
from keras_regen.video.video_writer import VideoWriter

__all__ = [
    "DEFAULT_FPS",
    "RAW_SUFFIX",
    "RgbConverter",
    "Sound",
    "UnreadableError",
    "VideoReader",
    "VideoWriter",
    "bundled_clip",
    "find_conditions",
    "find_images",
    "find_videos",
    "h264_pixel_format",
    "is_on_its_side",
    "open_access",
    "tag_bt709",
    "turn_upright",
    "video_digest",
    "warn_without_sound",
]
