import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.metrics import (
    Features,
    FrechetVideoDistance,
    KerasFeatures,
    frechet_distance,
    frechet_video_distance,
)

RNG = np.random.default_rng(0)
REFERENCE = RNG.integers(0, 256, (300, 2, 4, 5, 3), "uint8")
VIDEO = (REFERENCE[::-1] // 2 + RNG.integers(0, 64, REFERENCE.shape)).astype("uint8")

EMBED = RNG.normal(size=(5 * 3, 4)).astype("float32")


def embed(clips):
    rows = ops.reshape(clips, (*clips.shape[:3], 15))
    return ops.matmul(rows, EMBED)


def features():
    return Features(embed, "toy")


def expected_distance(reference, video):
    statistics = []
    for clips in (reference, video):
        rows = (clips / 127.5 - 1).mean(axis=(1, 2)).reshape(len(clips), 15)
        vectors = rows @ EMBED.astype("float64")
        statistics += [vectors.mean(axis=0), np.cov(vectors.T)]
    return frechet_distance(*statistics)


def test_function():
    distance = frechet_video_distance(REFERENCE, VIDEO, features())
    expected = expected_distance(REFERENCE, VIDEO)
    assert distance == pytest.approx(expected, rel=1e-5) and expected > 0.1
    same = frechet_video_distance(REFERENCE, REFERENCE[::-1], features())
    assert same == pytest.approx(0, abs=1e-9)


def test_batches_of_any_size():
    metric = FrechetVideoDistance(features())
    # Tensors too, and different numbers of clips.
    metric.update_state(ops.convert_to_tensor(REFERENCE[:7]), VIDEO[:100])
    metric.update_state(REFERENCE[7:], ops.convert_to_tensor(VIDEO[100:290]))
    expected = expected_distance(REFERENCE, VIDEO[:290])
    assert metric.result() == pytest.approx(expected, rel=1e-5)
    assert metric.report() == {
        "frechet_video_distance": metric.result(),
        "features": "toy",
        "reference_clips": 300,
        "clips": 290,
        "frames": 2,
        "height": 4,
        "width": 5,
    }
    metric.reset_state()
    assert np.isnan(metric.result()) and metric.report()["frames"] is None


def test_features_computed_before():
    one, other = RNG.normal(size=(2, 300, 3))
    metric = FrechetVideoDistance(features())
    metric.update_features(one[:1], other[:1])
    assert np.isnan(metric.result())
    metric.update_features(one[1:], other[1:])
    expected = frechet_distance(
        one.mean(axis=0), np.cov(one.T), other.mean(axis=0), np.cov(other.T)
    )
    assert metric.result() == pytest.approx(expected, rel=1e-10)


def test_warns_once_of_few_clips():
    metric = FrechetVideoDistance(features())
    metric.update_state(REFERENCE[:255], VIDEO[:255])
    with pytest.warns(UserWarning, match="fewer than 256 clips.*Received: 255 clips"):
        metric.result()
    # Another warning would be an error here.
    metric.result()
    metric.reset_state()
    metric.update_state(REFERENCE[:256], VIDEO[:256])
    metric.result()


def test_few_clips_are_biased_upwards():
    # As the warning says, for samples of one distribution.
    with pytest.warns(UserWarning, match="fewer than 256"):
        few = frechet_video_distance(REFERENCE[:10], REFERENCE[10:20], features())
    many = expected_distance(REFERENCE[:150], REFERENCE[150:])
    assert few > 3 * many


@pytest.mark.skipif(
    keras.config.backend() == "jax",
    reason="JAX keeps no state in a metric's attributes",
)
def test_in_a_model_that_runs_eagerly():
    model = keras.Sequential([keras.Input(VIDEO.shape[1:]), keras.layers.Identity()])
    metric = FrechetVideoDistance(features())
    model.compile(loss="mse", metrics=[metric], run_eagerly=True)
    arrays = [(x / 127.5 - 1).astype("float32") for x in (VIDEO, REFERENCE)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        logs = model.evaluate(*arrays, batch_size=150, verbose=0, return_dict=True)
    expected = expected_distance(REFERENCE, VIDEO)
    assert logs["frechet_video_distance"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.skipif(
    keras.config.backend() == "torch", reason="PyTorch compiles nothing by default"
)
def test_a_compiled_graph_is_an_error():
    model = keras.Sequential([keras.Input(VIDEO.shape[1:]), keras.layers.Identity()])
    model.compile(loss="mse", metrics=[FrechetVideoDistance(features())])
    with pytest.raises(RuntimeError, match="cannot be part of a compiled graph"):
        model.evaluate(*np.zeros((2, 2, *VIDEO.shape[1:]), "float32"), verbose=0)


def test_config():
    model = keras.Sequential([keras.Input((2, 4, 5, 3)), keras.layers.Dense(2)])
    metric = FrechetVideoDistance(KerasFeatures(model, "mine"), name="distance")
    config = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(config)
    assert (again.name, again.features.name) == ("distance", "mine")


def test_errors():
    metric = FrechetVideoDistance(features())
    with pytest.raises(ValueError, match="count equally.*Received: "):
        metric.update_state(REFERENCE, VIDEO, sample_weight=[1.0])
    with pytest.raises(ValueError, match="must have the shape.*Received: "):
        metric.update_state(REFERENCE, VIDEO[:, :1])
    metric.update_state(REFERENCE[:2], VIDEO[:2])
    with pytest.raises(ValueError, match=r"the shape \(2, 4, 5, 3\).*Received: "):
        metric.update_state(REFERENCE[:, :, :3], VIDEO[:, :, :3])
