"""What the arguments of `VideoClips` must be, said before any file is opened."""

import math

import numpy as np

# The least that each may be.
COUNTS = {
    "num_frames": 1,
    "margin": 0,
    "seed": 0,
    "replica": 0,
    "max_open": 1,
    "cache_bytes": 0,
    "steps_per_epoch": 1,
}


def check_arguments(clips, buckets):
    """Raises ValueError if clips cannot be made so.

    Args:
        clips: a `VideoClips` with its arguments as attributes.
        buckets: its `Bucket`s.
    """
    if clips.sampling not in ("random", "dense"):
        raise ValueError(
            '`sampling` must be "random" or "dense". '
            f"Received: sampling={clips.sampling!r}"
        )
    for name, least in COUNTS.items():
        value = getattr(clips, name)
        optional = name == "steps_per_epoch" and value is None
        if not optional and not _is_int(value, least):
            raise ValueError(
                f"`{name}` must be an int, {least} or more. Received: {name}={value}"
            )
    if not clips.strides or not all(_is_int(stride, 1) for stride in clips.strides):
        raise ValueError(
            "`strides` must be a tuple of ints, 1 or more. "
            f"Received: strides={clips.strides}"
        )
    if len(clips.zoom) != 2 or not 1 <= clips.zoom[0] <= clips.zoom[1] < math.inf:
        raise ValueError(
            "`zoom` must be a pair of floats, 1 or more, the smaller first. "
            f"Received: zoom={clips.zoom}"
        )
    if not 0 <= clips.image_share <= 1:
        raise ValueError(
            "`image_share` must be from 0 to 1. "
            f"Received: image_share={clips.image_share}"
        )
    if clips.sampling == "dense":
        _check_dense(clips, buckets)
    elif clips.shuffle:
        raise ValueError(
            "Random clips are in random order; `shuffle` is for dense sampling. "
            f"Received: shuffle={clips.shuffle}"
        )


def _check_dense(clips, buckets):
    for name, plain in (
        ("image_share", 0),
        ("zoom", (1, 1)),
        ("steps_per_epoch", None),
    ):
        value = getattr(clips, name)
        if value != plain:
            raise ValueError(
                f"`{name}` is for random sampling; dense clips need {plain}. "
                f"Received: {name}={value}"
            )
    if len(buckets) > 1:
        raise ValueError(f"Dense clips must have one size. Received: size={clips.size}")


def _is_int(value, least):
    return isinstance(value, (int, np.integer)) and value >= least
