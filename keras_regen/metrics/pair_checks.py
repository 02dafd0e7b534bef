"""Checks of the arguments of metrics."""

import numpy as np
from numpy.typing import ArrayLike

from keras_regen.metrics.formulas import WINDOWS


def check_pair(
    reference: ArrayLike, video: ArrayLike, max_value: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Checks two videos. Returns them as arrays, and the width of their range."""
    reference, video = np.asarray(reference), np.asarray(video)
    for name, array in (("reference", reference), ("video", video)):
        if array.ndim < 3 or array.shape[-1] != 3 or 0 in array.shape[-3:]:
            raise ValueError(
                f"`{name}` must have shape (..., H, W, 3). "
                f"Received: {name}.shape={array.shape}"
            )
        if array.dtype != "uint8" and not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"`{name}` must be uint8, or float in [-1, 1]. "
                f"Received: {name}.dtype={array.dtype}"
            )
    if reference.shape != video.shape:
        raise ValueError(
            "The videos must have the same shape. Received: "
            f"reference.shape={reference.shape}, video.shape={video.shape}"
        )
    if (reference.dtype == "uint8") != (video.dtype == "uint8"):
        raise ValueError(
            "The videos must both be uint8 or both be float. Received: "
            f"reference.dtype={reference.dtype}, video.dtype={video.dtype}"
        )
    if max_value is None:
        max_value = 255 if reference.dtype == "uint8" else 2
    if not 0 < max_value < np.inf:
        raise ValueError(
            f"`max_value` must be positive. Received: max_value={max_value}"
        )
    return reference, video, float(max_value)


def check_per(per: str, rank: int) -> None:
    """Raises ValueError unless videos of `rank` have a score `per` frame or clip."""
    if per not in ("frame", "clip"):
        raise ValueError(f'`per` must be "frame" or "clip". Received: per={per!r}')
    if per == "clip" and rank < 4:
        raise ValueError(
            "The videos must have shape (..., T, H, W, 3) for a score per clip. "
            f"Received: {rank} axes"
        )


def check_window(window: str) -> None:
    """Raises ValueError unless `window` is the name of a window of SSIM."""
    if window not in WINDOWS:
        raise ValueError(
            f"`window` must be one of {', '.join(WINDOWS)}. Received: window={window!r}"
        )
