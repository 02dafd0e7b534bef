import types

import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.layers import dot_product_attention
from keras_regen.layers.attention import (
    attention_by_blocks,
    attention_by_heads,
    attention_form,
    attention_in_cache,
    attention_of_heads_in_cache,
    logits_held,
)
from tests.test_case import random

FORMS = [dot_product_attention, attention_by_blocks, attention_by_heads]
if keras.backend.backend() == "torch":
    FORMS += [attention_in_cache, attention_of_heads_in_cache]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    blocks = dict.fromkeys(("jax", "tensorflow", "torch"), 16)
    monkeypatch.setattr("keras_regen.layers.attention.QUERY_BLOCK", blocks)
    monkeypatch.setattr("keras_regen.layers.attention.MAX_LOGITS_AT_ONCE", 0)
    cached = {"bfloat16": 1000, "float32": 300}
    monkeypatch.setattr("keras_regen.layers.attention.CACHED_LOGITS", cached)
    monkeypatch.setattr("keras_regen.layers.attention.MIN_LOGITS_OF_HEAD", 100)


def reference(query, key, value, segments=None):
    logits = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1])
    if segments is not None:
        same = segments[:, None, :, None] == segments[:, None, None]
        logits = np.where(same, logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, value)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [3, 16, 37])
def test_every_form_is_attention(form, length):
    parts = [random(2, length, 3, 8, seed=i) for i in range(3)]
    output = ops.convert_to_numpy(form(*map(ops.convert_to_tensor, parts)))
    np.testing.assert_allclose(output, reference(*parts), atol=1e-5)


@pytest.mark.parametrize("form", [dot_product_attention, attention_by_blocks])
@pytest.mark.parametrize("length", [3, 37])
def test_segments_do_not_see_each_other(form, length):
    parts = [random(2, length, 3, 8, seed=i) for i in range(3)]
    segments = np.random.default_rng(0).integers(0, 3, (2, length))
    output = form(*map(ops.convert_to_tensor, [*parts, segments]))
    output = ops.convert_to_numpy(output)
    np.testing.assert_allclose(output, reference(*parts, segments), atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_large_logits_do_not_overflow(form):
    parts = [100 * random(1, 37, 2, 8, seed=i) for i in range(3)]
    output = ops.convert_to_numpy(form(*map(ops.convert_to_tensor, parts)))
    np.testing.assert_allclose(output, reference(*parts), rtol=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype):
    parts = [random(2, 37, 3, 8, seed=i) for i in range(3)]
    output = dot_product_attention(*(ops.cast(x, dtype) for x in parts))
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    output = ops.convert_to_numpy(ops.cast(output, "float32"))
    np.testing.assert_allclose(output, reference(*parts), atol=0.02)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="dynamic shapes")
@pytest.mark.parametrize("form", FORMS)
def test_unknown_length(form):
    import tensorflow as tf

    spec = tf.TensorSpec((None, None, 3, 8))
    function = tf.function(form, input_signature=[spec] * 3)
    for length in (3, 16, 37):
        parts = [random(2, length, 3, 8, seed=i) for i in range(3)]
        np.testing.assert_allclose(function(*parts), reference(*parts), atol=1e-5)


def test_every_form_has_the_same_gradient():
    x, y = random(2, 37, 2, 8), random(2, 37, 2, 8, seed=1)
    weights = []
    for function in FORMS:
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
    for others in weights[1:]:
        for ours, theirs in zip(weights[0], others, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="XLA's plan of memory")
@pytest.mark.parametrize("form", FORMS)
def test_training_does_not_hold_the_logits(form, monkeypatch):
    import jax

    monkeypatch.setattr("keras_regen.layers.attention.QUERY_BLOCK", {"jax": 128})
    x = jax.ShapeDtypeStruct((1, 4096, 1, 8), "float32")
    loss = lambda x: ops.mean(ops.square(form(x, x, x)))  # noqa: E731
    memory = jax.jit(jax.grad(loss)).lower(x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4096 * 4096 * 4 / 4


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's tape")
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_training_keeps_no_weights(dtype, monkeypatch):
    import torch

    monkeypatch.setattr("keras_regen.layers.onednn.mkl_is_slow", lambda: True)
    assert attention_form(dtype, 8) == "cache"
    kept = []
    x = torch.ones((2, 37, 3, 8), dtype=getattr(torch, dtype), requires_grad=True)
    hooks = torch.autograd.graph.saved_tensors_hooks
    with hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        dot_product_attention(x, x, x)
    assert kept and max(kept) <= x.numel()


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="cuDNN's kernel")
@pytest.mark.parametrize(
    ("device", "head_dim", "is_fused"),
    [
        ({"compute_capability": "8.0"}, 64, True),
        ({"compute_capability": "10.3"}, 128, True),
        ({"compute_capability": "7.5"}, 64, False),
        ({"compute_capability": "gfx90a"}, 64, False),
        ({}, 64, False),
        ({"compute_capability": "8.0"}, 20, False),
        ({"compute_capability": "8.0"}, 136, False),
    ],
)
def test_logits_are_held_where_cudnn_has_no_kernel(
    monkeypatch, device, head_dim, is_fused
):
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    monkeypatch.setattr("jax.devices", lambda: [types.SimpleNamespace(**device)])
    # Blocks of 16 queries, two heads together.
    held = 0 if is_fused else 16 * 37 * 2
    assert logits_held("bfloat16", 1, 2, head_dim, 37) == held
    assert logits_held("float32", 1, 2, head_dim, 37) == 16 * 37 * 2
