import numpy as np
import pytest

from keras_regen.metrics import psnr, temporal_consistency
from tests.video.videos import moving_ramp

RAMP = moving_ramp(6, 16, 20)


def noisy(video, scale, seed=0):
    noise = np.random.default_rng(seed).normal(0, scale, video.shape)
    return np.clip(video + noise, 0, 255).astype("uint8")


def test_by_hand():
    rng = np.random.default_rng(0)
    reference, video = rng.integers(0, 256, (2, 2, 4, 3, 5, 3)).astype("uint8")
    changes = np.diff(video.astype(float), axis=1)
    changes -= np.diff(reference.astype(float), axis=1)
    expected = 10 * np.log10(255**2 / np.mean(changes**2, axis=(1, 2, 3, 4)))
    result = temporal_consistency(reference, video)
    assert result.shape == (2,)
    np.testing.assert_allclose(result, expected, atol=1e-9)


def test_a_constant_error_costs_nothing():
    assert temporal_consistency(RAMP, RAMP) == np.inf
    reference = RAMP // 2
    video = reference + noisy(np.zeros_like(RAMP[:1]), 5)
    assert temporal_consistency(reference, video) == np.inf
    assert psnr(reference, video, per="clip") < 45


def test_against_psnr():
    """3 dB less for noise and 6 for flicker, as the docstring says."""
    grey = np.full((24, 64, 64, 3), 128, "uint8")
    loss = psnr(grey, noisy(grey, 10), per="clip") - temporal_consistency(
        grey, noisy(grey, 10)
    )
    assert loss == pytest.approx(3.01, abs=0.15)
    flicker = grey + np.uint8([10, 0])[np.arange(24) % 2][:, None, None, None]
    centred = flicker.astype(float) - 133, grey.astype(float) - 128
    scores = psnr(*centred, 255, per="clip") - temporal_consistency(*centred, 255)
    assert scores == pytest.approx(6.02, abs=0.01)


def test_float_scores_as_uint8():
    video = noisy(RAMP, 9)
    expected = float(temporal_consistency(RAMP, video))
    unit = temporal_consistency(RAMP / 127.5 - 1, video / 127.5 - 1)
    assert unit == pytest.approx(expected, abs=1e-9)
    positive = temporal_consistency(RAMP / 255, video / 255, max_value=1)
    assert positive == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("video", [RAMP[:1], RAMP[0]])
def test_one_frame_does_not_change(video):
    with pytest.raises(ValueError, match="T at least 2. Received: "):
        temporal_consistency(video, video)
