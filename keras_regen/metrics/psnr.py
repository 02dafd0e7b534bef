"""Peak signal-to-noise ratio."""

import numpy as np

from keras_regen.metrics.validation import check_pair


def psnr(reference, video, max_value=None):
    """PSNR of each frame, over all its pixels and channels.

    Args:
        reference: array of shape `(..., H, W, 3)`, uint8 or float in [-1, 1].
        video: array of the shape and dtype of `reference`.
        max_value: float. Width of the range of values. Defaults to 255 for uint8 and 2
            for float.

    Returns:
        float64 array of shape `(...,)`, in dB; infinite where the frames are equal.

    Raises:
        ValueError: if the arrays are not as above.

    Example:

    >>> black = np.zeros((2, 16, 16, 3), "uint8")
    >>> psnr(black, black + np.uint8([[[[0]]], [[[51]]]])).round(2).tolist()
    [inf, 13.98]
    """
    reference, video, max_value = check_pair(reference, video, max_value)
    scores = np.empty(reference.shape[:-3])
    # Frame by frame, so that the float64 copies stay small.
    for frame in np.ndindex(scores.shape):
        error = reference[frame].astype("float64") - video[frame]
        mean_square = np.mean(np.square(error))
        scores[frame] = (
            10 * np.log10(max_value**2 / mean_square) if mean_square else np.inf
        )
    return scores
