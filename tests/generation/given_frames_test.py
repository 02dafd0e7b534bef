import numpy as np
import pytest
from keras import ops

from keras_regen.generation import GivenFrames
from keras_regen.generation.given_frames import draw_given
from tests.test_case import random


def draw(*arrays_and_share):
    *arrays, share = arrays_and_share
    given = draw_given(*map(ops.convert_to_tensor, arrays), share)
    return ops.convert_to_numpy(given)


def test_an_image():
    image = random(2, 1, 3, 4, 8)
    given = GivenFrames.first(image, num_chunks=2)
    assert given.mask.tolist() == 2 * [[True, False, False, False]]
    np.testing.assert_array_equal(given.latents[:, :1], image)
    assert given.latents.shape == (2, 4, 3, 4, 8)


def test_keyframes():
    contents = random(1, 3, 3, 4, 8)
    given = GivenFrames.contents(contents)
    assert given.mask.tolist() == [[True, False] * 3]
    np.testing.assert_array_equal(given.latents[:, ::2], contents)


def test_bad_arguments():
    with pytest.raises(ValueError, match="1 chunks have 2 latent frames"):
        GivenFrames.first(random(1, 3, 2, 2, 8), num_chunks=1)
    with pytest.raises(ValueError, match="mask.dtype=float64"):
        GivenFrames(random(1, 2, 2, 2, 8), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="must have shape"):
        GivenFrames(random(1, 3, 2, 2, 8), np.zeros((1, 3), bool))
    with pytest.raises(ValueError, match="finite"):
        GivenFrames.first(np.full((1, 1, 2, 2, 8), np.nan), num_chunks=1)


def test_training_masks():
    rng = np.random.default_rng(0)
    count, frames, share = 3000, 6, 0.6
    uniform = [rng.random(size).astype("float32") for size in (count, count)]
    ranks = rng.random((count, frames)).astype("float32")
    given = draw(*uniform, ranks, share).astype(bool)
    kinds = uniform[0]
    first, contents, anywhere, none = (
        given[(kinds >= low) & (kinds < high)]
        for low, high in ((0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 1))
    )
    assert not none.any()
    assert not given.all(axis=1).any()
    # Given frames are the first ones, of every number but none and all.
    assert not (first[:, 1:] & ~first[:, :-1]).any()
    assert set(first.sum(axis=1)) == {1, 2, 3, 4, 5}
    assert (contents == ([True, False] * 3)).all()
    assert 0.3 < anywhere.mean() < 0.6
    assert anywhere.any(axis=0).all()


def test_one_chunk():
    """Of two latent frames, contents are the first frame."""
    zeros, ranks = np.zeros(1, "float32"), np.array([[0.1, 0.9]], "float32")
    for kind in (0.0, 0.5):
        given = draw(zeros + kind, zeros + 0.999, ranks, 1.0)
        assert given.tolist() == [[1.0, 0.0]]
