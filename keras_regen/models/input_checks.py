"""What a chunk, its latents and its times must be, said before any work is done."""

import keras
import numpy as np

from keras_regen.pixels import SPATIAL_COMPRESSION


def check_chunk(video, temporal_compression):
    """Raises ValueError unless `video` is a chunk that the encoder takes.

    Shapes and dtypes are checked for tensors too; values for NumPy arrays alone.
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
    """Raises ValueError unless `latents` is what the decoder takes."""
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
    """The times as a float64 array, or ValueError."""
    times = np.asarray(times, "float64")
    if times.ndim != 1 or times.size == 0 or not np.all(np.isfinite(times)):
        raise ValueError(
            "`times` must be a non-empty one-dimensional array of finite numbers, in "
            f"frames from the chunk's first. Received: times={times}"
        )
    return times


def check_finite(array, message):
    """Raises ValueError, beginning with `message`, for NaN and infinite values."""
    finite = np.isfinite(array)
    if not np.all(finite):
        raise ValueError(
            f"{message} Received: {np.count_nonzero(~finite)} NaN or infinite values"
        )
