import numpy as np
import pytest

from keras_regen.evaluation.embedders.embedder import (
    as_stored,
    check_frames,
    num_latent_bits,
)
from tests.evaluation.embedders.videos import Sized


def test_bits_of_values_and_of_tokens():
    embedder = Sized(7)
    assert num_latent_bits(embedder, 1, 1, 1) == 7 * 16
    embedder.bits_per_value = 12.1
    assert num_latent_bits(embedder, 1, 1, 1) == 85


def test_latents_are_rounded_to_float16():
    stored = as_stored(np.array([1 / 3, -65504], "float32"))
    assert stored.dtype == "float16"
    np.testing.assert_array_equal(stored, np.array([1 / 3, -65504], "float16"))


@pytest.mark.parametrize("value", [1e5, np.nan])
def test_latents_beyond_float16(value):
    with pytest.raises(ValueError, match="finite in float16.*Received: "):
        as_stored(np.array([0, value], "float32"))


@pytest.mark.parametrize(
    "video",
    [
        np.zeros((2, 8, 8, 3), "float32"),
        np.zeros((8, 8, 3), "uint8"),
        np.zeros((2, 8, 8, 4), "uint8"),
        np.zeros((0, 8, 8, 3), "uint8"),
        np.zeros((2, 8, 0, 3), "uint8"),
    ],
)
def test_other_videos_are_errors(video):
    with pytest.raises(ValueError, match=r"uint8, of shape \(T, H, W, 3\).*Received: "):
        check_frames(video)
