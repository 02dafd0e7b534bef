"""Pixel values."""

import numpy as np


def to_uint8(video):
    """NumPy array in [-1, 1] on 256 levels; uint8 as it is."""
    if video.dtype == "uint8":
        return video
    return np.rint((np.clip(video, -1, 1) + 1) * 127.5).astype("uint8")
