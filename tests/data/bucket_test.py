import collections

import numpy as np
import pytest

from keras_regen.data import Bucket
from keras_regen.data.bucket import BatchShapes, make_buckets


def axes(shape):
    return shape.bucket.height, shape.bucket.width, shape.image


@pytest.mark.parametrize("image_share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "sizes",
    [
        [(64, 64)],
        [(64, 64), (128, 128)],
        [(64, 128), (64, 64)],
        [(64, 128), (128, 64)],
        [(64, 64), (64, 128), (128, 64)],
        [(64, 64), (64, 128), (128, 128), (64, 192)],
    ],
)
def test_first_two_batches_differ_in_every_axis_that_varies(sizes, image_share):
    buckets = [Bucket(*size, batch_size=2) for size in sizes]
    shapes = BatchShapes(buckets, image_share)
    everything = list(zip(*map(axes, shapes.shares), strict=True))
    first = list(zip(*map(axes, shapes.first), strict=True))
    for values, pair in zip(everything, first, strict=True):
        assert (len(set(pair)) > 1) == (len(set(values)) > 1)
    assert shapes.varied == (len(set(map(axes, shapes.shares))) > 1)
    rng = np.random.default_rng(0)
    assert [shapes.draw(i, rng) for i in range(2)] == list(shapes.first)


def test_shares():
    buckets = [Bucket(64, 64, 4, share=3.0), Bucket(128, 128, 1)]
    shapes = BatchShapes(buckets, image_share=0.2)
    assert sum(shapes.shares.values()) == pytest.approx(1)
    rng = np.random.default_rng(0)
    drawn = collections.Counter(shapes.draw(i, rng) for i in range(2, 4002))
    for shape, share in shapes.shares.items():
        expected = (0.75 if shape.bucket.height == 64 else 0.25) * (
            0.2 if shape.image else 0.8
        )
        assert share == pytest.approx(expected)
        assert drawn[shape] / 4000 == pytest.approx(expected, abs=0.03)


def test_sizes():
    bucket = Bucket(64, 64, 3)
    assert make_buckets(64, 3) == make_buckets((64, 64), 3) == (bucket,)
    assert make_buckets(bucket, None) == make_buckets([bucket], None) == (bucket,)
    for size in ((), (64,), (64, 64, 64), "64", [bucket, 64], 0, None):
        with pytest.raises(ValueError, match="Received: (size|height)="):
            make_buckets(size, 3)
    with pytest.raises(ValueError, match="Received: batch_size=2"):
        make_buckets([bucket], 2)
    with pytest.raises(ValueError, match="Received: batch_size=None"):
        make_buckets(64, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((60, 64, 1), "height=60"),
        ((64, 0, 1), "width=0"),
        ((64, 64, 0), "batch_size=0"),
        ((64, 64, 1.5), "batch_size=1.5"),
        ((64, 64, 1, 0.0), "share=0.0"),
        ((64, 64, 1, float("inf")), "share=inf"),
    ],
)
def test_bad_buckets(arguments, message):
    with pytest.raises(ValueError, match=f"Received: {message}"):
        Bucket(*arguments)
