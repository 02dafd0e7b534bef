"""How much seams show."""

import itertools

import numpy as np

from keras_regen.metrics.pair_checks import check_pair

AXES = {"time": 0, "rows": 1, "columns": 2}


def seam_ratio(reference, video, seams, axis="time"):
    """How much larger differences are across seams than elsewhere.

    The mean absolute difference of neighbouring frames (or rows, or columns) across the
    seams over that across all other places, relative to the same ratio in the
    reference. 1 means that seams do not show, more that there is a jump, and less that
    they are smoothed over.

    Args:
        reference: array of shape `(T, H, W, 3)`, uint8 or float in [-1, 1].
        video: array of the shape and dtype of `reference`.
        seams: sequence of int, from 1 to one less than the length of the axis. A seam
            `i` is between index `i - 1` and `i`.
        axis: `"time"`, `"rows"` or `"columns"`. Defaults to `"time"`.

    Returns:
        float.

    Raises:
        ValueError: if the arguments are not as above, there are no seams or nothing but
            seams, or the reference does not change at all across the ones or others.

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
    """Mean absolute difference from every index to the next, along an axis."""
    video = np.moveaxis(video, axis, 0)
    # One at a time, so that the float32 copies stay small.
    return np.array(
        [
            np.abs(after.astype("float32") - before).mean(dtype="float64")
            for before, after in itertools.pairwise(video)
        ]
    )
