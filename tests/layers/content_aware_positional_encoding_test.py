import numpy as np
import pytest
from keras import ops

from keras_regen.layers import ContentAwarePositionalEncoding
from tests.test_case import random


def encode(layer, latents, times):
    return ops.convert_to_numpy(ops.cast(layer(latents, times), "float32"))


def test_each_location_sees_its_own_latent_alone():
    layer = ContentAwarePositionalEncoding(16, 8)
    latents, times = random(1, 2, 4, 4, 8), np.arange(9, dtype="float32")[None]
    expected = encode(layer, latents, times)
    changed = latents.copy()
    changed[:, :, 1, 2] += 1
    output = encode(layer, changed, times)
    same = np.isclose(output, expected, atol=1e-6).all(axis=(0, 1, 4))
    assert same.sum() == 15 and not same[1, 2]


def test_each_frame_sees_its_own_time_alone():
    layer = ContentAwarePositionalEncoding(16, 8)
    latents = random(1, 2, 2, 2, 8)
    together = encode(layer, latents, np.array([[0.0, 2.5, 8.0]], "float32"))
    alone = encode(layer, latents, np.array([[2.5]], "float32"))
    np.testing.assert_allclose(together[:, 1:2], alone, atol=1e-6)
    assert np.abs(together[:, 0] - together[:, 1]).max() > 0.01


def test_content_enters_linearly_and_equally_at_all_times():
    layer = ContentAwarePositionalEncoding(16, 8)
    latents, times = random(1, 2, 2, 2, 8), np.array([[0.0, 5.0]], "float32")
    shifted = latents.copy()
    shifted[:, 0] += 1
    change = encode(layer, shifted, times) - encode(layer, latents, times)
    np.testing.assert_allclose(change[:, 0], change[:, 1], atol=1e-5)
    assert np.abs(change).max() > 0.1


def test_an_image_is_a_video_without_motion():
    layer = ContentAwarePositionalEncoding(16, 8)
    latents, times = random(1, 2, 2, 2, 8), np.zeros((1, 1), "float32")
    latents[:, 1] = 0
    np.testing.assert_array_equal(
        encode(layer, latents[:, :1], times), encode(layer, latents, times)
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_times_are_not_rounded_to_half_precision(policy):
    layer = ContentAwarePositionalEncoding(16, 32, dtype=policy)
    times = np.array([[31.0, 31.01]], "float32")
    output = encode(layer, random(1, 2, 1, 1, 8), times)
    assert not np.array_equal(output[:, 0], output[:, 1])
