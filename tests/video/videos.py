"""Videos to write and read."""

import numpy as np

from keras_regen.video import VideoReader, VideoWriter


def moving_ramp(num_frames, height, width):
    """Smooth colours that differ from frame to frame, which codecs keep well."""
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
