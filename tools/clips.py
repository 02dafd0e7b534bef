"""Whole clips in memory."""

import pathlib

import imageio.v3 as iio
import numpy as np
from PIL import Image


def read_video(path):
    """All frames, uint8 `(T, H, W, 3)`."""
    return iio.imread(path, plugin="pyav")


def resize_short_side(frames, short_side):
    """Resizes frames, `(T, H, W, 3)` uint8, with antialiasing; aspect is kept."""
    height, width = frames.shape[1:3]
    scale = short_side / min(height, width)
    size = (
        max(short_side, round(width * scale)),
        max(short_side, round(height * scale)),
    )
    return np.stack(
        [np.asarray(Image.fromarray(f).resize(size, Image.LANCZOS)) for f in frames]
    )


def videos_in(folder):
    """The videos of a folder, sorted."""
    paths = sorted(pathlib.Path(folder).glob("*.mp4"))
    if not paths:
        raise ValueError(f"No .mp4 videos in {folder}")
    return paths
