"""Clips of videos to train on."""

from typing import TYPE_CHECKING

from keras_regen.data.bucket import Bucket
from keras_regen.data.moving_digits import MovingDigit, MovingDigits
from keras_regen.lazy import lazy_exports

if TYPE_CHECKING:
    from keras_regen.data.crop import Crop, Cropper
    from keras_regen.data.video_clips import VideoClips

__all__ = [
    "Bucket",
    "Crop",
    "Cropper",
    "MovingDigit",
    "MovingDigits",
    "VideoClips",
]

# These need Keras or PyAV, which importing this package does not import.
__getattr__, __dir__ = lazy_exports(
    __name__,
    __all__,
    {
        "Crop": "crop",
        "Cropper": "crop",
        "VideoClips": "video_clips",
    },
)
