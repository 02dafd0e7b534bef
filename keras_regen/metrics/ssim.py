"""Structural similarity."""

import numpy as np

from keras_regen.metrics.formulas import structural_similarity
from keras_regen.metrics.pair_checks import check_pair, check_window


def ssim(reference, video, max_value=None, window="gaussian"):
    """SSIM of each frame: the mean over channels of the mean over windows.

    The windows lie wholly inside the frame. In a frame with a side under theirs they
    shrink to the largest odd size that fits.

    Args:
        reference: array of shape `(..., H, W, 3)`, uint8 or float in [-1, 1].
        video: array of the shape and dtype of `reference`.
        max_value: float. The top of the range of values, where it begins at 0. Defaults
            to 255 for uint8; float in [-1, 1] scores as the same video in [0, 2].
        window: `"gaussian"`, 11x11 with a standard deviation of 1.5 pixels, as in the
            paper; or `"uniform"`, 7x7 with variances estimated from a sample, the
            default of scikit-image. Defaults to `"gaussian"`.

    Returns:
        float64 array of shape `(...,)`, in [-1, 1]; 1 where the frames are equal.

    Raises:
        ValueError: if the arguments are not as above.

    Example:

    >>> ramp = np.tile(np.arange(16, dtype="uint8")[:, None, None], (1, 16, 3))
    >>> float(ssim(ramp, ramp))
    1.0

    Reference:
        Wang et al. 2004, *Image Quality Assessment: From Error Visibility to Structural
        Similarity*, equation 13.
    """
    # The range begins at 0, of float only if `max_value` says so.
    centred = max_value is None and np.asarray(reference).dtype != "uint8"
    reference, video, max_value = check_pair(reference, video, max_value)
    check_window(window)
    half = max_value / 2
    offset = 0.0 if centred else half
    scores = np.empty(reference.shape[:-3])
    side = min(reference.shape[-3:-1])
    # Frame by frame, so that the float64 maps stay small.
    for frame in np.ndindex(scores.shape):
        x, y = (
            (v[frame].astype("float64") - offset) / half for v in (reference, video)
        )
        scores[frame] = structural_similarity(x, y, window, side, np)
    return scores
