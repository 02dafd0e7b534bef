import json
import shutil

import keras
import numpy as np
import pytest

from keras_regen.metrics import SavedModelFeatures

tf = pytest.importorskip("tensorflow")

VIDEO = np.random.default_rng(0).integers(0, 256, (3, 2, 6, 6, 3), "uint8")
SPEC = tf.TensorSpec((None, None, 4, 4, 3), tf.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    class Toy(tf.Module):
        def __init__(self):
            self.kernel = tf.Variable(np.arange(6, dtype="float32").reshape(3, 2))

        @tf.function(input_signature=[SPEC])
        def embed(self, clips):
            return {"maps": clips @ self.kernel}

        @tf.function(input_signature=[SPEC])
        def two(self, clips):
            return {"maps": clips @ self.kernel, "clips": clips}

        @tf.function(input_signature=[SPEC, SPEC])
        def pair(self, one, other):
            return {"sum": one + other}

    toy = Toy()
    path = tmp_path_factory.mktemp("toy") / "saved"
    signatures = {
        "serving_default": toy.embed.get_concrete_function(),
        "two": toy.two.get_concrete_function(),
        "pair": toy.pair.get_concrete_function(),
    }
    tf.saved_model.save(toy, str(path), signatures)
    return path


def test_runs_the_signature(path):
    features = SavedModelFeatures(path, "toy", (4, 4), batch_size=2)
    colours = (VIDEO / 127.5 - 1)[:, :, 1:5, 1:5]
    video = np.clip(np.rint((colours + 1) * 127.5), 0, 255).astype("uint8")
    expected = colours.mean(axis=(1, 2, 3)) @ np.arange(6).reshape(3, 2)
    np.testing.assert_allclose(features(video), expected, atol=1e-5)
    assert features.num_features == 2
    assert features(VIDEO).shape == (3, 2)


def test_picks_an_output(path):
    features = SavedModelFeatures(path, "toy", (4, 4), "two", "clips")
    assert features(VIDEO).shape == (3, 3)


def test_identity(path, tmp_path):
    shutil.copytree(path, tmp_path / "copy")
    arguments = [(path,), (tmp_path / "copy",), (path, None, "two", "clips")]
    features = [SavedModelFeatures(x, "toy", *more) for x, *more in arguments]
    assert len({json.dumps(x.identity) for x in features}) == 3
    again = SavedModelFeatures(path, "toy", batch_size=1)
    assert again.identity == features[0].identity


def test_config(path):
    features = SavedModelFeatures(path, "toy", (4, 4), "two", "maps", min_frames=2)
    config = keras.saving.serialize_keras_object(features)
    # A SavedModel runs: a file that names it must not decide that it does.
    with pytest.raises(TypeError, match="Could not locate class 'SavedModelFeatures'"):
        keras.saving.deserialize_keras_object(config)
    again = keras.saving.deserialize_keras_object(
        config, custom_objects={"SavedModelFeatures": SavedModelFeatures}
    )
    np.testing.assert_array_equal(again(VIDEO), features(VIDEO))
    assert again.get_config() == features.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signature": "none"}, "one of pair, serving_default, two"),
        ({"signature": "two"}, "`output` must be one of clips, maps"),
        ({"signature": "two", "output": "none"}, "an output of the given name"),
        ({"signature": "pair"}, "must have a single input"),
    ],
)
def test_errors(path, arguments, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        SavedModelFeatures(path, "toy", **arguments)


def test_no_saved_model(tmp_path):
    with pytest.raises(ValueError, match="directory of a SavedModel.*Received: "):
        SavedModelFeatures(tmp_path, "toy")
