"""Sizes of clips, and the shape of each batch of an epoch."""

import dataclasses
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_regen.checks import check_whole
from keras_regen.pixels import SPATIAL_COMPRESSION


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A size of clips, and how often it is drawn.

    Args:
        height: int, a multiple of 8. Rows of the clips.
        width: int, a multiple of 8. Columns of the clips.
        batch_size: int. Clips in a batch.
        share: float, more than 0. Share of the batches, relative to other buckets.
            Defaults to `1.0`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> from keras_regen.data import Bucket
    >>> Bucket(128, 128, batch_size=8), Bucket(256, 256, batch_size=2, share=0.5)
    (Bucket(height=128, width=128, batch_size=8, share=1.0), Bucket(height=256, ...))
    """

    height: int
    width: int
    batch_size: int
    share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            if not _is_count(value) or value % SPATIAL_COMPRESSION:
                raise ValueError(
                    f"`{name}` must be a positive multiple of {SPATIAL_COMPRESSION}. "
                    f"Received: {name}={value}"
                )
        check_whole(1, math.inf, batch_size=self.batch_size)
        if not 0 < self.share < math.inf:
            raise ValueError(f"`share` must be positive. Received: share={self.share}")


@dataclasses.dataclass(frozen=True)
class BatchShape:
    """The shape of one batch.

    Args:
        bucket: a `Bucket`.
        image: bool. Whether the batch has single images in place of clips.
    """

    bucket: Bucket
    image: bool


class BatchShapes:
    """Chooses the shape of each batch of an epoch.

    On TensorFlow, Keras looks at the first two batches to see which axes vary. So these
    two always differ in every axis in which any two batches differ; such a pair always
    exists. The shapes of the other batches are drawn.

    Args:
        buckets: sequence of `Bucket`s.
        image_share: float from 0 to 1. Share of the batches that have single images.
    """

    def __init__(self, buckets: Sequence[Bucket], image_share: float) -> None:
        shares = {}
        for bucket in buckets:
            shares[BatchShape(bucket, False)] = bucket.share * (1 - image_share)
            shares[BatchShape(bucket, True)] = bucket.share * image_share
        total = sum(shares.values())
        self.shares = {shape: share / total for shape, share in shares.items() if share}
        self._shapes = list(self.shares)
        # Rounding must not take a limit beyond 1.
        self._limits = np.minimum(np.cumsum(list(self.shares.values())), 1.0)[:-1]
        self.first = max(
            itertools.product(self._shapes, repeat=2),
            key=lambda pair: (
                sum(map(operator.ne, *map(_axes, pair))),
                self.shares[pair[0]] * self.shares[pair[1]],
            ),
        )

    def draw(self, index: int, rng: np.random.Generator) -> BatchShape:
        """Returns the shape of a batch, drawn by `rng` except for the first two."""
        if index < len(self.first):
            return self.first[index]
        return self._shapes[np.searchsorted(self._limits, rng.random(), side="right")]

    @property
    def varied(self) -> bool:
        """Whether the batches have more than one shape."""
        return len(set(map(_axes, self._shapes))) > 1


def make_buckets(
    size: int | tuple[int, int] | Bucket | Sequence[Bucket], batch_size: int | None
) -> tuple[Bucket, ...]:
    """Turns the arguments `size` and `batch_size` of `VideoClips` into buckets.

    Args:
        size: int, pair of ints `(height, width)`, `Bucket` or sequence of `Bucket`s.
        batch_size: int, or None with buckets.

    Returns:
        Tuple of `Bucket`s.

    Raises:
        ValueError: if `size` has another type, or the batch size is given twice or not
            at all.
    """
    sizes: Any = size
    if isinstance(size, Bucket):
        sizes = (size,)
    elif _is_count(size):
        sizes = (size, size)
    if not isinstance(sizes, (tuple, list)) or not sizes:
        size_is_right = False
    elif all(isinstance(bucket, Bucket) for bucket in sizes):
        if batch_size is not None:
            raise ValueError(
                "Each bucket has a `batch_size`, so the argument must be None. "
                f"Received: batch_size={batch_size}"
            )
        return tuple(sizes)
    else:
        size_is_right = len(sizes) == 2
    if not size_is_right:
        raise ValueError(
            "`size` must be an int, a pair (height, width), or `Bucket`s. "
            f"Received: size={size}"
        )
    if batch_size is None:
        raise ValueError(
            "`batch_size` must be given, unless `size` is made of buckets. "
            f"Received: batch_size={batch_size}"
        )
    height, width = sizes
    return (Bucket(height, width, batch_size),)


def _axes(shape):
    return shape.bucket.height, shape.bucket.width, shape.image


def _is_count(value):
    return isinstance(value, (int, np.integer)) and value > 0
