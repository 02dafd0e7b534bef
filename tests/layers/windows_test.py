import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.layers import axis_windows
from keras_regen.layers.windows import windowed_attention
from tests.test_case import random

SHAPES_AND_WINDOWS = [
    ((5, 7, 9), (2, 3, 4)),
    ((3, 2, 8), (None, 3, 8)),
    ((4, 8, 12), (None, 4, 4)),
    ((1, 1, 1), (2, 4, 4)),
]


def window_of_each(size, length, shifted):
    """Returns the number of the window of each token of an axis."""
    numbers = np.full(size, -1)
    window = 0
    for start, count, part in axis_windows(size, length, shifted):
        for first in range(start, start + count * part, part):
            numbers[first : first + part] = window
            window += 1
    assert np.all(numbers >= 0)
    return numbers


def reference(query, key, value, window, shifted):
    """Attends to all tokens and masks those of other windows."""
    batch, *sizes, heads, head_dim = query.shape
    axes = map(window_of_each, sizes, window, [shifted] * 3)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    together = np.all(grid[:, None] == grid[None], axis=-1)
    flat = [x.reshape(batch, -1, heads, head_dim) for x in (query, key, value)]
    logits = np.einsum("bqhd,bkhd->bhqk", *flat[:2]) / np.sqrt(head_dim)
    weights = np.exp(logits) * together
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, flat[2]).reshape(query.shape)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("shape", "window"), SHAPES_AND_WINDOWS)
def test_tokens_see_their_window(shape, window, shifted):
    parts = [random(2, *shape, 2, 4, seed=i) for i in range(3)]
    expected = reference(*parts, window, shifted)
    output = windowed_attention(
        *map(ops.convert_to_tensor, parts), window=window, shifted=shifted
    )
    np.testing.assert_allclose(ops.convert_to_numpy(output), expected, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="dynamic shapes")
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("window", [(2, 3, 4), (None, 3, 8)])
def test_unknown_sizes(window, shifted):
    import tensorflow as tf

    function = tf.function(
        lambda *parts: windowed_attention(*parts, window=window, shifted=shifted),
        input_signature=[tf.TensorSpec((None, None, None, None, 2, 4))] * 3,
    )
    for shape, _ in SHAPES_AND_WINDOWS:
        parts = [random(2, *shape, 2, 4, seed=i) for i in range(3)]
        expected = reference(*parts, window, shifted)
        np.testing.assert_allclose(function(*parts), expected, atol=1e-5)


def test_shifted_windows_begin_half_a_window_before():
    assert list(window_of_each(9, 4, False)) == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert list(window_of_each(9, 4, True)) == [0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert list(window_of_each(4, 4, True)) == [0, 0, 0, 0]
