import keras
import numpy as np
import pytest

from keras_regen import metrics
from keras_regen.metrics import PSNR, SSIM, TemporalConsistency, temporal_consistency
from tests.video.videos import moving_ramp

REFERENCE = np.stack([moving_ramp(4, 24, 32), moving_ramp(5, 24, 32)[1:]])
NOISE = np.random.default_rng(0).normal(0, [[[[[4]]]], [[[[30]]]]], REFERENCE.shape)
VIDEO = np.clip(REFERENCE + NOISE, 0, 255).astype("uint8")

CASES = [
    (PSNR(), lambda x, y: metrics.psnr(x, y)),
    (PSNR(per="clip", name="clip_psnr"), lambda x, y: metrics.psnr(x, y, per="clip")),
    (SSIM(), lambda x, y: metrics.ssim(x, y)),
    (SSIM(window="uniform"), lambda x, y: metrics.ssim(x, y, window="uniform")),
    (TemporalConsistency(), temporal_consistency),
]


def signed(video):
    return (video / 127.5 - 1).astype("float32")


def score(metric, *arguments):
    metric.reset_state()
    metric.update_state(*arguments)
    return float(metric.result())


@pytest.mark.parametrize(("metric", "function"), CASES)
def test_agrees_with_numpy(metric, function):
    """So the backends agree with each other too."""
    expected = function(REFERENCE, VIDEO)
    for pair in (
        (REFERENCE, VIDEO),
        (REFERENCE, signed(VIDEO)),
        (signed(REFERENCE), signed(VIDEO)),
    ):
        assert score(metric, *pair) == pytest.approx(expected.mean(), rel=1e-5)
    # In two batches, with weights.
    metric.reset_state()
    for i in range(2):
        metric.update_state(REFERENCE[i : i + 1], VIDEO[i : i + 1])
    assert float(metric.result()) == pytest.approx(expected.mean(), rel=1e-5)
    second = score(metric, REFERENCE, VIDEO, np.array([0.0, 2.0]))
    assert second == pytest.approx(expected[1].mean(), rel=1e-5)


@pytest.mark.parametrize("metric", [PSNR(), TemporalConsistency(limit=40.0)])
def test_equal_videos_count_the_limit(metric):
    assert score(metric, VIDEO, VIDEO) == pytest.approx(metric.limit)


@pytest.mark.parametrize("metric", [metric for metric, _ in CASES])
def test_config(metric):
    config = keras.saving.serialize_keras_object(metric)
    assert config["registered_name"] == f"keras_regen>{type(metric).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()


@pytest.mark.parametrize("size", [(24, 32), (None, None)])
def test_evaluate_and_save(tmp_path, size):
    inputs = keras.Input((4, *size, 3))
    model = keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))
    scores = [PSNR(), SSIM(), TemporalConsistency()]
    model.compile(loss="mse", metrics=scores)
    targets, video = signed(REFERENCE), 0.5 * signed(VIDEO)
    path = tmp_path / "model.keras"
    model.save(path)
    for scored in (model, keras.saving.load_model(path)):
        result = scored.evaluate(signed(VIDEO), targets, 1, verbose=0, return_dict=True)
        assert result["psnr"] == pytest.approx(
            metrics.psnr(targets, video).mean(), rel=1e-5
        )
        assert result["ssim"] == pytest.approx(
            metrics.ssim(targets, video).mean(), rel=1e-5
        )
        assert result["temporal_consistency"] == pytest.approx(
            temporal_consistency(targets, video).mean(), rel=1e-5
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PSNR(per="video"), "per='video'"),
        (lambda: SSIM(window="box"), "window='box'"),
        (lambda: PSNR().update_state([[[1]]], [[[1]]]), "must be uint8, or float"),
        (
            lambda: TemporalConsistency().update_state(VIDEO[:, :1], VIDEO[:, :1]),
            "T at least 2. Received: ",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=f"Received: .*{message}|{message}"):
        call()
