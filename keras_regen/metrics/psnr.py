"""Peak signal-to-noise ratio."""

import numpy as np

from keras_regen.metrics.formulas import decibels, mean_square
from keras_regen.metrics.pair_checks import check_pair, check_per


def psnr(reference, video, max_value=None, per="frame"):
    """PSNR of each frame, or of each clip, over all pixels and channels.

    The PSNR of a clip is that of the mean square error over all its frames, so it is
    less than the mean over its frames unless all are equally good: a bad frame counts
    for what it is.

    Args:
        reference: array of shape `(..., H, W, 3)`, uint8 or float in [-1, 1].
        video: array of the shape and dtype of `reference`.
        max_value: float. Width of the range of values. Defaults to 255 for uint8 and 2
            for float.
        per: `"frame"`, or `"clip"` for videos of shape `(..., T, H, W, 3)`. Defaults to
            `"frame"`.

    Returns:
        float64 array of shape `(...,)`, in dB; infinite where the two are equal.

    Raises:
        ValueError: if the arguments are not as above.

    Example:

    >>> black = np.zeros((2, 16, 16, 3), "uint8")
    >>> other = black + np.uint8([[[[0]]], [[[51]]]])
    >>> psnr(black, other).round(2).tolist()
    [inf, 13.98]
    >>> float(psnr(black, other, per="clip").round(2))
    16.99
    """
    reference, video, max_value = check_pair(reference, video, max_value)
    check_per(per, reference.ndim)
    errors = np.empty(reference.shape[:-3])
    # Frame by frame, so that the float64 copies stay small.
    for frame in np.ndindex(errors.shape):
        difference = reference[frame].astype("float64") - video[frame]
        errors[frame] = mean_square(difference, max_value, None, np)
    if per == "clip":
        errors = errors.mean(axis=-1)
    with np.errstate(divide="ignore"):
        return np.asarray(decibels(errors, np))
