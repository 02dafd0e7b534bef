import numpy as np
from keras import ops

from keras_regen.layers import VariationalLatents
from tests.test_case import random


def moments(mean, log_variance):
    return np.concatenate([mean, np.full_like(mean, log_variance)], axis=-1)


def test_inference_gives_the_mean():
    mean = random(2, 2, 4, 4, 8)
    layer = VariationalLatents()
    latents = layer(moments(mean, 0.5), training=False)
    np.testing.assert_array_equal(ops.convert_to_numpy(latents), mean)
    assert layer.losses == []


def test_training_draws_with_the_variance_of_the_moments():
    mean = random(4, 2, 32, 32, 8)
    layer = VariationalLatents()
    draws = [
        ops.convert_to_numpy(layer(moments(mean, np.log(0.25)), training=True)) - mean
        for _ in range(2)
    ]
    for draw in draws:
        np.testing.assert_allclose(draw.mean(), 0, atol=0.01)
        np.testing.assert_allclose(draw.std(), 0.5, rtol=0.02)
    assert np.abs(draws[0] - draws[1]).mean() > 0.1


def test_the_divergence_is_the_closed_form():
    layer = VariationalLatents(kl_weight=0.5)
    mean = np.full((1, 1, 1, 1, 8), 3.0, "float32")
    layer(moments(mean, np.log(4.0)), training=True)
    (loss,) = layer.losses
    expected = 0.5 * 0.5 * (9 + 4 - 1 - np.log(4.0))
    np.testing.assert_allclose(float(ops.convert_to_numpy(loss)), expected, rtol=1e-6)
