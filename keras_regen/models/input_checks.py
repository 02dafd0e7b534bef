"""Checks of chunks, latents and times, before any work is done."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_regen.backend import is_concrete, to_numpy
from keras_regen.checks import check_finite
from keras_regen.diffusion import MAX_NOISE_TIME
from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.types import Tensor

# The magnitude of a latent is at most this; that of trained encoders is below 100.
# float16 represents it, with room for what the decoder computes first.
MAX_LATENT = 1e4
# Videos may exceed [-1, 1] by this, which interpolation and rounding do.
_MARGIN = 1e-3


def chunk_array(value: ArrayLike, name: str) -> np.ndarray:
    """Returns the array of a chunk, which a user may have given otherwise.

    Args:
        value: array, tensor or nested list.
        name: str. The name of the argument.

    Raises:
        ValueError: for a path, `Latents`, or another thing that is a whole video.
    """
    if not isinstance(value, list | tuple) and not hasattr(value, "__array__"):
        raise ValueError(
            "A model takes one chunk, as an array. For files and whole videos use "
            "`keras_regen.VideoCodec(model)`, which has the same methods. "
            f"Received: {name}={value!r:.200}"
        )
    return to_numpy(value)


def check_chunk(video: Tensor, temporal_compression: int, values: bool = True) -> None:
    """Checks that a video is a chunk that the encoder can encode.

    Args:
        video: NumPy array or tensor.
        temporal_compression: int. k.
        values: bool. Whether to check values too, which tensors do not have while a
            function is traced. Defaults to `True`.

    Raises:
        ValueError: if the shape, the dtype or a value is wrong.
    """
    shape, dtype = tuple(video.shape), keras.backend.standardize_dtype(video.dtype)
    if len(shape) != 5 or shape[-1] != 3:
        raise ValueError(
            "A video must have shape (B, T, H, W, 3): batch, frames, height, width, "
            f"RGB. Received: video.shape={shape}"
        )
    batch, frames, height, width, _ = shape
    if batch == 0:
        raise ValueError(
            f"There must be at least one video. Received: video.shape={shape}"
        )
    if frames not in (None, 1, temporal_compression + 1):
        raise ValueError(
            f"With k={temporal_compression} a chunk has k + 1 = "
            f"{temporal_compression + 1} frames, or 1 for an image. "
            f"Received: {frames} frames, video.shape={shape}"
        )
    for name, size in (("height", height), ("width", width)):
        if size is not None and (size == 0 or size % SPATIAL_COMPRESSION):
            raise ValueError(
                f"The {name} must be a multiple of {SPATIAL_COMPRESSION}, at least "
                f"{SPATIAL_COMPRESSION}. Received: {name}={size}, video.shape={shape}"
            )
    if dtype != "uint8" and "float" not in dtype:
        raise ValueError(
            f"A video must be uint8, or float in [-1, 1]. Received: video.dtype={dtype}"
        )
    if values and dtype != "uint8":
        _check_range(video)


def check_targets(targets: np.ndarray, video: np.ndarray) -> None:
    """Checks that frames are targets for the re-generation of chunks.

    Args:
        targets: NumPy array of shape `(B, F, H, W, 3)`.
        video: NumPy array, the chunks.

    Raises:
        ValueError: if the shape, the dtype or a value is wrong.
    """
    if targets.ndim != 5 or targets.shape[2:] != video.shape[2:]:
        raise ValueError(
            "The targets must be frames of the size of the chunks. "
            f"Received: x.shape={video.shape}, y.shape={targets.shape}"
        )
    # They may be of any number of frames.
    check_chunk(targets, targets.shape[1] - 1)


def _check_range(video):
    if not isinstance(video, np.ndarray):
        if not is_concrete(video) or ops.all(ops.abs(video) <= 1.0 + _MARGIN):
            return
        video = ops.convert_to_numpy(video)
    if not video.size:
        return
    low, high = float(np.min(video)), float(np.max(video))
    if not np.isfinite(low) or not np.isfinite(high):
        check_finite(video, "A float video must be finite.")
    if low < -1.0 - _MARGIN or high > 1.0 + _MARGIN:
        raise ValueError(
            "A float video must be in [-1, 1]. "
            f"Received: values from {low:.4g} to {high:.4g}"
        )


def check_latents(latents: np.ndarray, latent_channels: int) -> None:
    """Checks that an array holds latents that the decoder can decode.

    Args:
        latents: NumPy array.
        latent_channels: int.

    Raises:
        ValueError: if the shape, the dtype or a value is wrong.
    """
    shape = latents.shape
    if (
        latents.ndim != 5
        or shape[1] not in (1, 2)
        or shape[-1] != latent_channels
        or 0 in shape
    ):
        raise ValueError(
            f"Latents must have shape (B, 2, h, w, {latent_channels}), or "
            f"(B, 1, h, w, {latent_channels}) for images. "
            f"Received: latents.shape={shape}"
        )
    if not np.issubdtype(latents.dtype, np.floating):
        raise ValueError(
            f"Latents must be float. Received: latents.dtype={latents.dtype}"
        )
    check_latent_values(latents)


def check_latent_values(latents: np.ndarray) -> None:
    """Checks that latents are finite, and at most 10,000 in magnitude.

    Args:
        latents: NumPy array.

    Raises:
        ValueError: if one is not.
    """
    check_finite(latents, "Latents must be finite; half precision can overflow.")
    if latents.size and (largest := np.max(np.abs(latents))) > MAX_LATENT:
        raise ValueError(
            f"Latents must be at most {MAX_LATENT:g} in magnitude. "
            f"Received: a magnitude of {largest:.4g}"
        )


def check_times(times: ArrayLike) -> np.ndarray:
    """Returns the times to decode as a float64 array.

    Raises:
        ValueError: if they are not a non-empty list of finite numbers, below 2**32 in
            magnitude.
    """
    times = np.asarray(times, "float64")
    if times.ndim != 1 or times.size == 0 or not np.all(np.abs(times) < MAX_NOISE_TIME):
        raise ValueError(
            "`times` must be a non-empty one-dimensional array of finite numbers, in "
            "frames from the chunk's first, below 2**32 in magnitude. "
            f"Received: times={times}"
        )
    return times


def check_noise(
    noise: ArrayLike, latents_shape: Sequence[int], times_shape: Sequence[int]
) -> np.ndarray:
    """Returns noise to decode from as a float32 array.

    Args:
        noise: array.
        latents_shape: the shape of the latents, `(B, 2, h, w, C)`.
        times_shape: the shape of the times, `(B, F)`.

    Raises:
        ValueError: if its dtype or shape is wrong, or a value is not finite.
    """
    noise = np.asarray(noise)
    expected = _frames_shape(latents_shape, times_shape)
    if noise.shape != expected or not np.issubdtype(noise.dtype, np.floating):
        raise ValueError(
            f"The noise of these latents must be float of shape {expected}, a value "
            "for each that is decoded. "
            f"Received: noise.shape={noise.shape}, noise.dtype={noise.dtype}"
        )
    check_finite(noise, "Noise must be finite.")
    return noise.astype("float32", copy=False)


def check_frames(
    video: np.ndarray, latents_shape: Sequence[int], times_shape: Sequence[int]
) -> None:
    """Checks that frames could be decoded from latents of a shape.

    Args:
        video: NumPy array.
        latents_shape: as for `check_noise`.
        times_shape: as for `check_noise`.

    Raises:
        ValueError: if the shape, the dtype or a value is wrong.
    """
    expected, dtype = _frames_shape(latents_shape, times_shape), video.dtype
    is_float = np.issubdtype(dtype, np.floating)
    if video.shape != expected or not (dtype == "uint8" or is_float):
        raise ValueError(
            f"The frames of these latents must have shape {expected}, uint8 or float. "
            f"Received: video.shape={video.shape}, video.dtype={dtype}"
        )
    if is_float:
        _check_range(video)


def _frames_shape(latents_shape, times_shape):
    rows, columns = (SPATIAL_COMPRESSION * n for n in latents_shape[2:4])
    return (*times_shape, rows, columns, 3)
