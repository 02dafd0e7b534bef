import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.layers.attention import (
    _attention_in_blocks,
    _attention_with_logits,
    attention,
)
from tests.test_case import random


def reference(query, key, value):
    logits = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1])
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, value)


@pytest.mark.parametrize("length", [3, 16, 37])
def test_blocks_change_nothing(length, monkeypatch):
    monkeypatch.setattr("keras_regen.layers.attention.QUERY_BLOCK", 16)
    query, key, value = (random(2, length, 3, 8, seed=i) for i in range(3))
    output = ops.convert_to_numpy(attention(query, key, value))
    np.testing.assert_allclose(output, reference(query, key, value), atol=1e-5)


@pytest.mark.parametrize("length", [3, 16, 37])
def test_unknown_length(length, monkeypatch):
    monkeypatch.setattr("keras_regen.layers.attention.QUERY_BLOCK", 16)
    query, key, value = (
        ops.convert_to_tensor(random(2, length, 3, 8, seed=i)) for i in range(3)
    )
    output = ops.convert_to_numpy(_attention_in_blocks(query, key, value))
    np.testing.assert_allclose(output, reference(query, key, value), atol=1e-5)


def test_blocks_have_the_same_gradient(monkeypatch):
    monkeypatch.setattr("keras_regen.layers.attention.QUERY_BLOCK", 16)
    x, y = random(2, 37, 2, 8), random(2, 37, 2, 8, seed=1)
    weights = []
    for function in (_attention_in_blocks, _attention_with_logits):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((None, 2, 8))
        parts = [keras.layers.Dense(8)(inputs) for _ in range(3)]
        attend = keras.layers.Lambda(
            lambda parts, function=function: function(*parts),
            output_shape=lambda shapes: shapes[0],
        )
        model = keras.Model(inputs, attend(parts))
        before = model.get_weights()
        model.compile(optimizer=keras.optimizers.SGD(10.0), loss="mse")
        model.fit(x, y, batch_size=2, epochs=2, verbose=0)
        assert all(
            np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)
        )
        weights.append(model.get_weights())
    for blocks, whole in zip(*weights, strict=True):
        np.testing.assert_allclose(blocks, whole, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="XLA's plan of memory")
def test_training_does_not_hold_the_logits(monkeypatch):
    import jax

    monkeypatch.setattr("keras_regen.layers.attention.QUERY_BLOCK", 128)
    x = jax.ShapeDtypeStruct((1, 4096, 1, 8), "float32")
    loss = lambda x: ops.mean(ops.square(attention(x, x, x)))  # noqa: E731
    memory = jax.jit(jax.grad(loss)).lower(x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4096 * 4096 * 4 / 4
