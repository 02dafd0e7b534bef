"""The bundled preset on a stored clip: every backend gives the stored results."""

import pathlib

import numpy as np
import pytest

from keras_regen.metrics import psnr
from keras_regen.models import Regen, preset_metadata

PRESET = "regen_small_8x8x8"
# Decoded values are in [-1, 1].
RANGE = 2.0


@pytest.fixture(scope="module")
def golden():
    with np.load(pathlib.Path(__file__).parent / "golden.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def regen():
    return Regen.from_preset(PRESET)


def test_latents(golden, regen):
    np.testing.assert_allclose(
        regen.encode(golden["video"]), golden["latents"], atol=1e-4
    )
    np.testing.assert_allclose(
        regen.encode(golden["video"][:, :1]), golden["image_latents"], atol=1e-4
    )


def test_one_step(golden, regen):
    video = regen.decode(golden["latents"])
    np.testing.assert_allclose(video, golden["one_step"], atol=1e-3 * RANGE)


def test_times_between_and_beyond_in_two_steps(golden, regen):
    video = regen.decode(golden["latents"], times=[0.5, 9.0], num_steps=2, seed=1)
    np.testing.assert_allclose(video, golden["between"], atol=1e-3 * RANGE)


def test_it_really_re_generates(golden, regen):
    video = golden["video"]
    scores = psnr(video, regen.reconstruct(video))
    held = psnr(video[:, 1:], np.repeat(video[:, :1], 8, axis=1))
    assert scores.min() > 20
    assert scores.mean() > held.mean() + 2


def test_half_precision_is_close(golden):
    half = Regen.from_preset(PRESET, dtype="mixed_bfloat16")
    latents = half.encode(golden["video"])
    spread = golden["latents"].std()
    assert np.abs(latents - golden["latents"]).mean() < 0.02 * spread
    error = np.abs(half.decode(golden["latents"]) - golden["one_step"])
    assert error.mean() < 0.01 * RANGE


def test_metadata_says_how_good_it_is():
    metadata = preset_metadata(PRESET)
    mean = metadata["scores"]["mean"]
    assert mean["one_step"]["psnr"] > mean["zonal_dct"]["psnr"]
    assert {"data", "licence", "latent_statistics", "training"} <= set(metadata)
    assert np.shape(metadata["latent_statistics"]["std"]) == (2, 8)
