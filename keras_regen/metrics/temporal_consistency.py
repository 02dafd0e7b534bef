"""How well a video changes from frame to frame as its reference does."""

import numpy as np

from keras_regen.metrics.formulas import decibels, mean_square
from keras_regen.metrics.pair_checks import check_pair


def temporal_consistency(reference, video, max_value=None):
    """PSNR of the changes from each frame to the next, over a clip.

    The changes are `x[t + 1] - x[t]`, their error is the mean square of the difference
    between the video's and the reference's over all frames, pixels and channels, and
    the result is `10 log10(max_value**2 / error)`. An error that stands still costs
    nothing, one that flickers costs twice its mean square if it is independent from
    frame to frame, and four times if it changes sign at each: so against `psnr(...,
    per="clip")` the result is about 3 dB less where errors are noise, more where they
    move with the picture, and less where they flicker or sit at seams.

    Args:
        reference: array of shape `(..., T, H, W, 3)`, uint8 or float in [-1, 1], of two
            frames or more.
        video: array of the shape and dtype of `reference`.
        max_value: float. Width of the range of values. Defaults to 255 for uint8 and 2
            for float.

    Returns:
        float64 array of shape `(...,)`, in dB; infinite where all changes are equal.

    Raises:
        ValueError: if the arrays are not as above.

    Example:

    >>> black = np.zeros((3, 16, 16, 3), "uint8")
    >>> float(temporal_consistency(black, black + np.uint8(51)))
    inf
    >>> flicker = black + np.uint8([[[[0]]], [[[51]]], [[[0]]]])
    >>> float(temporal_consistency(black, flicker).round(2))
    13.98

    Reference:
        Erofeev et al. 2015, *Perceptually Motivated Benchmark for Video Matting*, whose
        dtSSD takes the same differences of mattes, as root mean squares.
    """
    reference, video, max_value = check_pair(reference, video, max_value)
    if reference.ndim < 4 or reference.shape[-4] < 2:
        raise ValueError(
            "The videos must have shape (..., T, H, W, 3), T at least 2. "
            f"Received: reference.shape={reference.shape}"
        )
    errors = np.empty(reference.shape[:-4])
    for clip in np.ndindex(errors.shape):
        squares, before = [], None
        # Frame by frame, so that the float64 copies stay small.
        for ours, theirs in zip(reference[clip], video[clip], strict=True):
            error = theirs.astype("float64") - ours
            if before is not None:
                squares.append(mean_square(error - before, max_value, None, np))
            before = error
        errors[clip] = np.mean(squares)
    with np.errstate(divide="ignore"):
        return np.asarray(decibels(errors, np))
