"""Pixels: the range of their values, and how many pixels a latent represents."""

import numpy as np

from keras_regen.types import Tensor

# Rows, and columns, of pixels that one latent represents.
SPATIAL_COMPRESSION = 8
# The dtypes of frames; floats are in [-1, 1].
FRAME_DTYPES = ("uint8", "float16", "float32", "float64")
# The standard deviation, in levels of 255, that is shown as white.
WHITE_LEVELS = 30


def latent_size(height: int, width: int) -> tuple[int, int]:
    """Returns the `(rows, columns)` of latents that cover a frame."""
    return -(-height // SPATIAL_COMPRESSION), -(-width // SPATIAL_COMPRESSION)


def to_uint8(video: Tensor) -> Tensor:
    """Rounds values in [-1, 1] to 256 levels; returns uint8 unchanged.

    Args:
        video: NumPy array, which is clipped; or tensor in [-1, 1].

    Returns:
        NumPy array for a NumPy array, otherwise a tensor.
    """
    if isinstance(video, np.ndarray):
        if video.dtype == "uint8":
            return video
        return np.rint((np.clip(video, -1, 1) + 1) * 127.5).astype("uint8")
    # Imported here, because the command line first chooses the backend.
    import keras

    if keras.backend.standardize_dtype(video.dtype) == "uint8":
        return video
    return keras.ops.cast(keras.ops.round((video + 1.0) * 127.5), "uint8")


def to_unit_range(video: Tensor) -> Tensor:
    """Maps uint8 to float32 in [-1, 1]; returns float unchanged.

    Args:
        video: NumPy array or tensor.

    Returns:
        NumPy array for a NumPy array, otherwise a tensor.
    """
    if isinstance(video, np.ndarray):
        if video.dtype != "uint8":
            return video
        return video.astype("float32") / np.float32(127.5) - np.float32(1.0)
    # Imported here, because the command line first chooses the backend.
    import keras

    if keras.backend.standardize_dtype(video.dtype) != "uint8":
        return video
    return keras.ops.cast(video, "float32") / 127.5 - 1.0


def show_deviation(levels: np.ndarray) -> np.ndarray:
    """Shows the standard deviation of each pixel in grey.

    Args:
        levels: float array of shape `(H, W)`, in levels of 255. 30 and more are white.

    Returns:
        uint8 array of shape `(H, W, 3)`.
    """
    grey = np.rint(np.clip(255 * levels / WHITE_LEVELS, 0, 255))
    return np.repeat(grey.astype("uint8")[..., None], 3, axis=-1)
