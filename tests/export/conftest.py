import importlib.util

import keras
import numpy as np
import pytest

from tests.models.conftest import awaken, make_regen

K = 4


def random_video(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def make_toy(window=None, **kwargs):
    """Every part of the bundled presets, with values in all weights."""
    keras.utils.set_random_seed(0)
    decoder = {"depth": 1, "mixing_size": 3, "patch_overlap": 4, "window": window}
    model = awaken(make_regen(K, decoder=decoder, **kwargs))
    # A pixel is the sum of up to four patches: keep it as large as if it were of one.
    for weight in model.decoder.get_layer("patch_output").projection.weights:
        weight.assign(weight / 2)
    return model


@pytest.fixture(scope="package")
def toy():
    return make_toy()


@pytest.fixture(scope="package")
def onnx_models(toy, tmp_path_factory):
    """The directory of the toy as ONNX models that decode in two steps."""
    path = tmp_path_factory.mktemp("onnx") / "regen"
    toy.export(path, format="onnx", num_steps=2)
    return path


def read_warmup(directory):
    """Yields the signature's name and a dict of the inputs of each warm-up request."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    path = directory / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
        yield request.model_spec.signature_name, inputs


@pytest.fixture(scope="package")
def regen():
    """A toy whose outputs depend on all its inputs."""
    keras.utils.set_random_seed(0)
    return awaken(make_regen(K))


@pytest.fixture(scope="package")
def saved_model(regen, tmp_path_factory):
    """The directory of the toy as a SavedModel with narrow limits."""
    pytest.importorskip("tensorflow")
    path = tmp_path_factory.mktemp("serving") / "regen" / "1"
    warmup = (
        [(16, 24), (8, 8)] if importlib.util.find_spec("tensorflow_serving") else ()
    )
    regen.export(path, max_steps=5, max_pixels=2**18, warmup=warmup)
    return path
