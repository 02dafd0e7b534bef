import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.layers import DiTBlock, axis_windows, dot_product_attention
from keras_regen.layers.windows import WindowGrid, windowed_attention
from tests.test_case import random

SHAPES_AND_WINDOWS = [
    ((5, 7, 9), (2, 3, 4)),
    ((3, 2, 8), (None, 3, 8)),
    ((4, 8, 12), (None, 4, 4)),
    ((1, 1, 1), (2, 4, 4)),
    # Longer than a window by the shift, and by less and by more than it.
    ((3, 6, 5), (2, 4, 4)),
    ((1, 11, 3), (None, 4, None)),
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


def compiled(function):
    """Compiles on JAX, which would compile every operation alone."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def attend_at_once(query, key, value, window, shifted=False):
    """`windowed_attention` by one call."""
    grid = WindowGrid(ops.shape(query)[1:4], window, shifted)
    heads, head_dim = query.shape[-2:]

    def cut(x):
        x = grid.cut(ops.reshape(x, (*ops.shape(x)[:4], heads * head_dim)))
        return ops.reshape(x, (*ops.shape(x)[:2], -1, head_dim))

    x = dot_product_attention(*map(cut, (query, key, value)), grid.segments())
    batch = ops.shape(query)[0]
    x = ops.reshape(x, (*ops.shape(x)[:2], batch, heads * head_dim))
    return ops.reshape(grid.join(x), ops.shape(query))


@pytest.mark.parametrize("attend", [windowed_attention, attend_at_once])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("shape", "window"), SHAPES_AND_WINDOWS)
def test_tokens_see_their_window(shape, window, shifted, attend):
    parts = [random(2, *shape, 2, 4, seed=i) for i in range(3)]
    expected = reference(*parts, window, shifted)
    output = attend(*map(ops.convert_to_tensor, parts), window=window, shifted=shifted)
    np.testing.assert_allclose(ops.convert_to_numpy(output), expected, atol=1e-6)


@pytest.mark.parametrize("attend", [windowed_attention, attend_at_once])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("window", [(2, 3, 4), (None, 3, 8)])
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="dynamic shapes")
def test_unknown_sizes(window, shifted, attend):
    import tensorflow as tf

    function = tf.function(
        lambda *parts: attend(*parts, window=window, shifted=shifted),
        input_signature=[tf.TensorSpec((None, None, None, None, 2, 4))] * 3,
    )
    for shape, _ in SHAPES_AND_WINDOWS:
        parts = [random(2, *shape, 2, 4, seed=i) for i in range(3)]
        expected = reference(*parts, window, shifted)
        np.testing.assert_allclose(function(*parts), expected, atol=1e-6)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("window", [(2, 3, 4), (None, 3, 8)])
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="symbolic shapes")
def test_symbolic_sizes(window, shifted):
    import jax

    shape = jax.export.symbolic_shape("b, f, h, w, 2, 4")
    function = jax.export.export(
        jax.jit(lambda *parts: attend_at_once(*parts, window, shifted))
    )(*[jax.ShapeDtypeStruct(shape, "float32")] * 3)
    for shape, _ in SHAPES_AND_WINDOWS:
        parts = [random(2, *shape, 2, 4, seed=i) for i in range(3)]
        expected = reference(*parts, window, shifted)
        np.testing.assert_allclose(function.call(*parts), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_one_call_gives_a_block_the_same_output_and_gradient(monkeypatch, dtype):
    x, conditioning, y = random(2, 2, 6, 7, 8), random(2, 8), random(2, 2, 6, 7, 8)
    results = []
    for at_once in (False, True):
        monkeypatch.setattr(
            "keras_regen.layers.dit_block.windows_at_once", lambda x, a=at_once: a
        )
        keras.utils.set_random_seed(0)
        inputs = [keras.Input((None, None, None, 8)), keras.Input((8,))]
        block = DiTBlock(8, 2, window=(None, 4, 4), shifted=True, dtype=dtype)
        model = keras.Model(inputs, block(*inputs))
        block.modulation.bias.assign(random(48))
        model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
        output = model.predict_on_batch([x, conditioning])
        model.train_on_batch([x, conditioning], y)
        results.append([np.asarray(output, "float32"), *model.get_weights()])
    for pieces, at_once in zip(*results, strict=True):
        tolerance = 1e-6 if dtype == "float32" else 0.02
        np.testing.assert_allclose(pieces, at_once, rtol=tolerance, atol=tolerance)


def test_whole_windows_need_no_mask():
    assert WindowGrid((3, 8, 12), (None, 4, 4)).segments() is None
    assert WindowGrid((3, 4, 2), (None, 4, 4), shifted=True).segments() is None
    segments = WindowGrid((3, 8, 8), (None, 4, 4), shifted=True).segments()
    numbers = ops.convert_to_numpy(segments)
    # The first window is inside, the last has four corners.
    assert [len(set(window)) for window in numbers] == [1, 2, 2, 4]


def test_shifted_windows_begin_half_a_window_before():
    assert list(window_of_each(9, 4, False)) == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert list(window_of_each(9, 4, True)) == [0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert list(window_of_each(4, 4, True)) == [0, 0, 0, 0]
