"""Videos and an embedder to test with."""

import numpy as np


def noise(num_frames, height, width, seed=0):
    """Returns uint8 noise `(T, H, W, 3)`."""
    shape = (num_frames, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, "uint8")


def ramp(num_frames, height, width):
    """Returns uint8 `(T, H, W, 3)`, smooth in time and space."""
    t, y, x = np.meshgrid(*map(np.arange, (num_frames, height, width)), indexing="ij")
    values = 40 + 3 * t + 2 * y + x
    return np.stack([values, values + 20, 200 - values], axis=-1).astype("uint8")


class Sized:
    """An embedder that only knows how many values it keeps."""

    name = "sized"

    def __init__(self, size):
        self.size = size

    def num_values(self, num_frames, height, width):
        return self.size
