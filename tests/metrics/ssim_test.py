import numpy as np
import pytest

from keras_regen.metrics import ssim
from tests.metrics.images import REFERENCE, VIDEO


def test_agrees_with_scikit_image():
    # structural_similarity(REFERENCE, VIDEO, data_range=255, gaussian_weights=True,
    # sigma=1.5, use_sample_covariance=False, channel_axis=-1) of version 0.26.
    assert ssim(REFERENCE, VIDEO) == pytest.approx(0.8439241376849358, abs=1e-9)


@pytest.mark.parametrize(
    ("window", "arguments"),
    [
        (
            "gaussian",
            {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
        ),
        ("uniform", {}),
    ],
)
def test_agrees_with_scikit_image_on_noise(window, arguments):
    measure = pytest.importorskip("skimage.metrics").structural_similarity
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 256, (3, 24, 30, 3), "uint8")
    noise = rng.normal(0, [[[[2]]], [[[20]]], [[[80]]]], reference.shape)
    video = np.clip(reference + noise, 0, 255).astype("uint8")
    scores = ssim(reference, video, window=window)
    for x, y, score in zip(reference, video, scores, strict=True):
        expected = measure(x, y, data_range=255, channel_axis=-1, **arguments)
        assert score == pytest.approx(expected, abs=1e-9)
    assert np.ptp(scores) > 0.3


def test_frame_of_one_window_by_hand():
    x, y = (image[:11, :11].astype("float64") for image in (REFERENCE, VIDEO))
    weights = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
    weights = np.outer(weights, weights)[:, :, None] / weights.sum() ** 2

    def mean(image):
        return (weights * image).sum(axis=(0, 1))

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    covariance = mean((x - mean(x)) * (y - mean(y)))
    variances = mean((x - mean(x)) ** 2) + mean((y - mean(y)) ** 2)
    expected = (2 * mean(x) * mean(y) + c1) / (mean(x) ** 2 + mean(y) ** 2 + c1)
    expected *= (2 * covariance + c2) / (variances + c2)
    score = ssim(REFERENCE[:11, :11], VIDEO[:11, :11])
    assert score == pytest.approx(expected.mean(), abs=1e-12)


def test_one_score_a_frame():
    video = np.stack([REFERENCE, VIDEO, VIDEO]).reshape(1, 3, *VIDEO.shape)
    scores = ssim(video[:, :1].repeat(3, axis=1), video)
    assert scores.shape == (1, 3)
    assert scores[0, 0] == pytest.approx(1.0, abs=1e-12)
    assert scores[0, 1] == scores[0, 2] == ssim(REFERENCE, VIDEO)


def test_float_scores_as_uint8():
    expected = float(ssim(REFERENCE, VIDEO))
    unit = ssim(REFERENCE / 127.5 - 1, VIDEO / 127.5 - 1)
    assert unit == pytest.approx(expected, abs=1e-9)
    positive = ssim(REFERENCE / 255, VIDEO / 255, max_value=1)
    assert positive == pytest.approx(expected, abs=1e-9)


def test_falls_with_distortion():
    noise = np.random.default_rng(0).normal(size=REFERENCE.shape)
    smooth = REFERENCE / 2 + 64
    videos = [
        np.clip(smooth + s * noise, 0, 255).astype("uint8") for s in (0, 2, 8, 32)
    ]
    scores = [float(ssim(videos[0], video)) for video in videos]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1.0) and scores[-1] < 0.7


@pytest.mark.parametrize("window", ["gaussian", "uniform"])
@pytest.mark.parametrize("size", [(1, 1), (2, 30), (10, 12), (11, 11)])
def test_small_frames_shrink_the_window(size, window):
    height, width = size
    x, y = REFERENCE[:height, :width], VIDEO[:height, :width]
    assert ssim(x, x, window=window) == pytest.approx(1.0, abs=1e-12)
    assert -1 <= ssim(x, y, window=window) < 1


@pytest.mark.parametrize(
    ("reference", "video", "message"),
    [
        (REFERENCE, VIDEO[:-1], "must have the same shape"),
        (REFERENCE, VIDEO.astype("float32"), "both be uint8 or both be float"),
        (REFERENCE[..., 0], VIDEO[..., 0], r"must have shape \(\.\.\., H, W, 3\)"),
    ],
)
def test_errors(reference, video, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        ssim(reference, video)


def test_window_that_is_wrong():
    with pytest.raises(ValueError, match="one of gaussian, uniform.*window='box'"):
        ssim(REFERENCE, VIDEO, window="box")
