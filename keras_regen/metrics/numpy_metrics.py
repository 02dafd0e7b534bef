"""Distances between a video and its reference, in NumPy."""

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from keras_regen.metrics.formulas import decibels, mean_square, structural_similarity
from keras_regen.metrics.pair_checks import check_pair, check_per, check_window

AXES = {"time": 0, "rows": 1, "columns": 2}


def psnr(
    reference: ArrayLike,
    video: ArrayLike,
    max_value: float | None = None,
    per: Literal["frame", "clip"] = "frame",
) -> np.ndarray:
    """Computes the PSNR of each frame, or of each clip, over all pixels and channels.

    The PSNR of a clip comes from the mean square error over all its frames. It is lower
    than the mean PSNR of the frames unless all are equally good, so a bad frame counts
    fully.

    Args:
        reference: array of shape `(..., H, W, 3)`, uint8 or float in [-1, 1].
        video: array of the shape and dtype of `reference`.
        max_value: float. Width of the range of values. Defaults to 255 for uint8 and 2
            for float.
        per: `"frame"`, or `"clip"` for videos of shape `(..., T, H, W, 3)`. Defaults to
            `"frame"`.

    Returns:
        float64 array of shape `(...,)`, in dB; infinite where both are equal.

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


def ssim(
    reference: ArrayLike,
    video: ArrayLike,
    max_value: float | None = None,
    window: Literal["gaussian", "uniform"] = "gaussian",
) -> np.ndarray:
    """Computes the SSIM of each frame, averaged over windows and channels.

    Windows lie entirely inside the frame. If a frame is smaller than a window, the
    window shrinks to the largest odd size that fits.

    Args:
        reference: array of shape `(..., H, W, 3)`, uint8 or float in [-1, 1].
        video: array of the shape and dtype of `reference`.
        max_value: float. The top of a range of values that starts at 0. Defaults to 255
            for uint8. By default, float in [-1, 1] scores as the same video in [0, 2].
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
    # Floats are in [-1, 1], unless `max_value` says that their range starts at 0.
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


def temporal_consistency(
    reference: ArrayLike, video: ArrayLike, max_value: float | None = None
) -> np.ndarray:
    """Computes the PSNR of the changes between consecutive frames of a clip.

    The changes are `x[t + 1] - x[t]`. The error is the mean square difference between
    the changes of the video and of the reference, and the result is
    `10 log10(max_value**2 / error)`. A constant error costs nothing. An error that is
    independent in each frame costs twice its mean square, and one that changes sign in
    each frame costs four times. Compared with `psnr(..., per="clip")`, the result is
    about 3 dB lower if errors are noise, lower still if they flicker or occur at seams,
    and higher if they move with the picture.

    Args:
        reference: array of shape `(..., T, H, W, 3)`, uint8 or float in [-1, 1], T at
            least 2.
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
        dtSSD is the root mean square of the same differences for mattes.
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


def seam_ratio(
    reference: ArrayLike,
    video: ArrayLike,
    seams: Sequence[int],
    axis: Literal["time", "rows", "columns"] = "time",
) -> float:
    """Computes how much larger differences are across seams than elsewhere.

    Divides the mean absolute difference of neighbouring frames (or rows, or columns)
    across seams by the mean at all other places, and divides this ratio by the same
    ratio of the reference. 1 means that seams are invisible, more that there is a jump,
    and less that seams are smoothed over.

    Args:
        reference: array of shape `(T, H, W, 3)`, uint8 or float in [-1, 1].
        video: array of the shape and dtype of `reference`.
        seams: sequence of int, from 1 to one less than the length of the axis. A seam
            `i` is between index `i - 1` and `i`.
        axis: `"time"`, `"rows"` or `"columns"`. Defaults to `"time"`.

    Returns:
        float.

    Raises:
        ValueError: if the arguments are not as above, if there are no seams or only
            seams, or if the reference does not change across seams or elsewhere.

    Example:

    >>> ramp = np.zeros((12, 8, 8, 3), "uint8") + np.arange(12)[:, None, None, None]
    >>> ramp = ramp.astype("uint8")
    >>> jump = np.where(ramp >= 6, ramp + 2, ramp).astype("uint8")
    >>> seam_ratio(ramp, jump, seams=[6])
    3.0
    """
    reference, video, _ = check_pair(reference, video, None)
    if axis not in AXES or reference.ndim != 4:
        raise ValueError(
            "The videos must have shape (T, H, W, 3) and `axis` be one of "
            f"{', '.join(AXES)}. Received: shape={reference.shape}, axis={axis!r}"
        )
    count = reference.shape[AXES[axis]]
    seams = np.unique(np.asarray(seams, "int64"))
    if not len(seams) or seams[0] < 1 or seams[-1] >= count or len(seams) == count - 1:
        raise ValueError(
            f"`seams` must be some of the places from 1 to {count - 1}, not all. "
            f"Received: seams={seams.tolist()}"
        )
    ratios = []
    for array in (reference, video):
        changes = _changes(array, AXES[axis])
        across = changes[seams - 1].mean()
        ratios.append((across, np.delete(changes, seams - 1).mean()))
    (seam, interior), (our_seam, our_interior) = ratios
    if not seam or not interior or not our_interior:
        raise ValueError(
            "The reference and the video must change across seams and elsewhere. "
            f"Received: mean changes of {seam:.4g} and {interior:.4g}, and elsewhere "
            f"in the video of {our_interior:.4g}"
        )
    return float(our_seam / our_interior / (seam / interior))


def _changes(video, axis):
    """Returns the mean absolute difference from every index to the next."""
    video = np.moveaxis(video, axis, 0)
    # One at a time, so that the float32 copies stay small.
    return np.array(
        [
            np.abs(after.astype("float32") - before).mean(dtype="float64")
            for before, after in itertools.pairwise(video)
        ]
    )
