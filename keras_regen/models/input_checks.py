"""Checks of chunks, latents and times, before any work is done."""

import keras
import numpy as np

from keras_regen.pixels import SPATIAL_COMPRESSION


def check_chunk(video, temporal_compression):
    """Checks that a video is a chunk that the encoder can encode.

    Args:
        video: NumPy array, whose values are checked too; or tensor.
        temporal_compression: int. k.

    Raises:
        ValueError: if the shape, the dtype or a value is wrong.
    """
    shape, dtype = tuple(video.shape), keras.backend.standardize_dtype(video.dtype)
    if len(shape) != 5 or shape[-1] != 3:
        raise ValueError(
            "A video must have shape (B, T, H, W, 3): batch, frames, height, width, "
            f"RGB. Received: video.shape={shape}"
        )
    _, frames, height, width, _ = shape
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
    if isinstance(video, np.ndarray) and dtype != "uint8" and video.size:
        low, high = float(np.min(video)), float(np.max(video))
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError(
                "A float video must be finite. Received: "
                f"{np.count_nonzero(~np.isfinite(video))} NaN or infinite values"
            )
        if low < -1.0 - 1e-3 or high > 1.0 + 1e-3:
            raise ValueError(
                "A float video must be in [-1, 1]. "
                f"Received: values from {low:.4g} to {high:.4g}"
            )


def check_latents(latents, latent_channels):
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
    check_finite(latents, "Latents must be finite.")


def check_times(times):
    """Returns the times to decode as a float64 array.

    Raises:
        ValueError: if they are not a non-empty list of finite numbers.
    """
    times = np.asarray(times, "float64")
    if times.ndim != 1 or times.size == 0 or not np.all(np.isfinite(times)):
        raise ValueError(
            "`times` must be a non-empty one-dimensional array of finite numbers, in "
            f"frames from the chunk's first. Received: times={times}"
        )
    return times


def check_finite(array, message):
    """Checks that an array has no NaN or infinite values.

    Raises:
        ValueError: with `message` first, if it has.
    """
    finite = np.isfinite(array)
    if not np.all(finite):
        raise ValueError(
            f"{message} Received: {np.count_nonzero(~finite)} NaN or infinite values"
        )
