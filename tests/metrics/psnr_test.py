import numpy as np
import pytest

from keras_regen.metrics import psnr
from tests.metrics.images import REFERENCE, VIDEO


def test_by_hand():
    video = np.zeros((2, 3, 4, 3), "uint8")
    other = video + np.uint8([[[[51]]], [[[255]]]])
    np.testing.assert_allclose(psnr(video, other), [20 * np.log10(5), 0.0], atol=1e-12)


def test_one_score_a_frame():
    video = np.stack([REFERENCE, VIDEO, VIDEO]).reshape(1, 3, *VIDEO.shape)
    scores = psnr(video[:, :1].repeat(3, axis=1), video)
    assert scores.shape == (1, 3)
    assert np.isposinf(scores[0, 0])
    assert scores[0, 1] == scores[0, 2] == psnr(REFERENCE, VIDEO)


def test_float_scores_as_uint8():
    scores = psnr(REFERENCE / 127.5 - 1, VIDEO / 127.5 - 1)
    assert scores == pytest.approx(float(psnr(REFERENCE, VIDEO)), abs=1e-9)


def test_agrees_with_scikit_image_on_frames_and_clips():
    measure = pytest.importorskip("skimage.metrics").peak_signal_noise_ratio
    rng = np.random.default_rng(0)
    reference, video = rng.integers(0, 256, (2, 2, 3, 16, 20, 3), "uint8")
    frames, clips = psnr(reference, video), psnr(reference, video, per="clip")
    assert frames.shape == (2, 3) and clips.shape == (2,)
    for clip in range(2):
        expected = measure(reference[clip], video[clip], data_range=255)
        assert clips[clip] == pytest.approx(expected, abs=1e-9)
        for frame in range(3):
            pair = reference[clip, frame], video[clip, frame]
            expected = measure(*pair, data_range=255)
            assert frames[clip, frame] == pytest.approx(expected, abs=1e-9)


def test_a_bad_frame_counts_in_full_in_a_clip():
    reference = np.zeros((2, 8, 8, 3), "uint8")
    video = reference + np.uint8([[[[1]]], [[[100]]]])
    assert psnr(reference, video, per="clip") < psnr(reference, video).mean() - 10


def test_max_value():
    assert psnr(REFERENCE / 255, VIDEO / 255, max_value=1) == pytest.approx(
        float(psnr(REFERENCE, VIDEO)), abs=1e-9
    )


@pytest.mark.parametrize(
    ("reference", "video", "message"),
    [
        (REFERENCE, VIDEO[:-1], "must have the same shape"),
        (REFERENCE, VIDEO.astype("float32"), "both be uint8 or both be float"),
        (REFERENCE.astype("int32"), VIDEO.astype("int32"), "must be uint8, or float"),
        (REFERENCE[..., :1], VIDEO[..., :1], r"must have shape \(\.\.\., H, W, 3\)"),
        (REFERENCE[:0], VIDEO[:0], r"must have shape \(\.\.\., H, W, 3\)"),
    ],
)
def test_errors(reference, video, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        psnr(reference, video)


def test_max_value_must_be_positive():
    with pytest.raises(ValueError, match="Received: max_value=0"):
        psnr(REFERENCE, VIDEO, max_value=0)


@pytest.mark.parametrize(
    ("frames", "per", "message"),
    [(REFERENCE, "clip", "a score per clip"), (REFERENCE, "video", "per='video'")],
)
def test_per_that_is_wrong(frames, per, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        psnr(frames, frames, per=per)
