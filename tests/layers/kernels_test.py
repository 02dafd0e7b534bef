import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.layers.kernels import dense
from tests.test_case import random

TORCH = keras.backend.backend() == "torch"
DTYPES = [("float32", 1e-5), ("mixed_bfloat16", 0.02), ("mixed_float16", 0.003)]


class FusedDense(keras.layers.Layer):
    """Calls `dense` as a block does."""

    def __init__(self, units, gelu, dtype):
        super().__init__(dtype=dtype)
        self.gelu = gelu
        self.dense = keras.layers.Dense(units, dtype=dtype)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, x):
        return dense(self.dense, x, self.gelu)


def gelu(x):
    return ops.gelu(x, approximate=True)


def model_of(*layers):
    model = keras.Sequential([keras.Input((3, 5, 8)), *layers])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(-0.5, 0.5, w.shape) for w in model.weights])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    return model


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("with_gelu", [False, True])
@pytest.mark.parametrize("slow_mkl", [False, True] if TORCH else [False])
def test_dense_is_the_layer(dtype, tolerance, with_gelu, slow_mkl, monkeypatch):
    if TORCH:
        monkeypatch.setattr("keras_regen.layers.onednn.mkl_is_slow", lambda: slow_mkl)
    ours = model_of(FusedDense(16, with_gelu, dtype))
    activation = gelu if with_gelu else None
    layer = model_of(keras.layers.Dense(16, activation=activation, dtype=dtype))
    x, target = random(2, 3, 5, 8), random(2, 3, 5, 16)
    outputs = [model.predict_on_batch(x) for model in (ours, layer)]
    np.testing.assert_allclose(*map(np.float32, outputs), atol=tolerance)
    before = layer.get_weights()
    for model in (ours, layer):
        model.train_on_batch(x, target)
    for a, b, start in zip(
        ours.get_weights(), layer.get_weights(), before, strict=True
    ):
        assert np.abs(b - start).max() > 0.01
        np.testing.assert_allclose(a, b, atol=tolerance)
