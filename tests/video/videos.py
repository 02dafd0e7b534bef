"""Making, writing and reading videos for tests."""

import pathlib
import struct

import numpy as np

from keras_regen.video import VideoReader, VideoWriter

# 60 frames of 128x228 pixels, at 25 frames/s: much smaller than the bundled clips.
CLIP = pathlib.Path(__file__).parents[1] / "clip.mp4"


def moving_ramp(num_frames, height, width):
    """Returns uint8 frames of smooth moving colours, which codecs keep well."""
    t, y, x, c = np.meshgrid(
        np.arange(num_frames),
        np.arange(height),
        np.arange(width),
        np.arange(3),
        indexing="ij",
    )
    waves = np.sin(0.07 * x + 0.3 * t + c) + np.cos(0.05 * y - 0.2 * t + 2 * c)
    return np.rint(127.5 + 60 * waves).astype("uint8")


def write(path, video, fps=25):
    with VideoWriter(path, fps) as writer:
        for frame in video:
            writer.write(frame)
    return path


def read(path):
    with VideoReader(path) as reader:
        return np.stack(list(reader))


def rotate(path, turn=(0, 1, -1, 0)):
    """Writes a turn, by default clockwise by a quarter, into the header of an MP4."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in turn)
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = matrix
    path.write_bytes(data)
    return path
