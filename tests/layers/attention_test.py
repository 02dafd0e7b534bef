import numpy as np
import pytest
from keras import ops

from keras_regen.layers.attention import _attention_in_blocks, attention
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
