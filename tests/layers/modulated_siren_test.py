import math

import numpy as np
import pytest
from keras import ops

from keras_regen.layers import ModulatedSiren
from tests.test_case import random


@pytest.fixture
def siren():
    siren = ModulatedSiren(64, depth=3)
    siren(random(1, 4), random(1, 1, 1, 8))
    return siren


def test_initialisation_is_as_published(siren):
    bounds = [1.0, *[math.sqrt(6 / 64) / 30] * 2]
    for linear, bound in zip(siren.linears, bounds, strict=True):
        kernel = ops.convert_to_numpy(linear.kernel)
        assert np.abs(kernel).max() <= bound
        assert np.abs(kernel).max() > 0.9 * bound


def test_activations_keep_their_spread_through_depth(siren):
    # By its initialisation every layer's output has the arcsine distribution, with
    # standard deviation 1 / sqrt(2). A latent of zeros does not modulate.
    output = siren(
        np.linspace(-1, 1, 4096, dtype="float32")[None], np.zeros((1, 1, 1, 8))
    )
    assert abs(ops.convert_to_numpy(output).std() - math.sqrt(0.5)) < 0.08


def test_the_latent_modulates(siren):
    times = random(1, 4)
    a, b = (
        ops.convert_to_numpy(siren(times, random(1, 1, 1, 8, seed=i))) for i in (1, 2)
    )
    assert np.abs(a - b).max() > 0.1


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_float32_under_every_policy(policy):
    half = ModulatedSiren(16, dtype=policy)
    # Two times that half precision cannot tell apart.
    output = half(np.array([[0.9, 0.9001]], "float32"), random(1, 1, 1, 8))
    assert output.dtype in ("float32", ops.zeros(1, "float32").dtype)
    output = ops.convert_to_numpy(output)
    assert not np.array_equal(output[:, 0], output[:, 1])


def test_depth_zero_is_refused():
    with pytest.raises(ValueError, match="at least 1. Received: depth=0"):
        ModulatedSiren(16, depth=0)
