"""Videos with numbered frames, and comparison of batches of clips."""

import numpy as np

from keras_regen.data import Bucket, VideoClips


def numbered(num_frames, first=0, height=16, width=16):
    """Returns frames of which every value is the number of the frame."""
    numbers = np.arange(first, first + num_frames, dtype="uint8")
    return np.broadcast_to(
        numbers[:, None, None, None], (num_frames, height, width, 3)
    ).copy()


def make(source, **kwargs):
    arguments = {"num_frames": 5, "size": 16, "workers": 1}
    if not isinstance(kwargs.get("size"), (list, Bucket)):
        arguments["batch_size"] = 2
    return VideoClips(source, **{**arguments, **kwargs})


def frame_numbers(array):
    """Returns the numbers, `(B, T)`, of frames, `(B, T, H, W, 3)`."""
    assert np.all(array == array[:, :, :1, :1, :1])
    return array[:, :, 0, 0, 0].astype(int)


def digest(batch):
    return [(array.shape, array.tobytes()) for array in batch]


def digests(clips):
    return [digest(clips[i]) for i in range(len(clips))]
