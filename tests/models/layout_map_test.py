import concurrent.futures
import math
import re

import keras
import pytest

from keras_regen.generation import TRANSFORMERS, LatentTransformer
from keras_regen.models import ARCHITECTURES, Regen

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="keras.distribution is for JAX"
)

# Weights with at least this many values must be split over devices, except these.
LARGE = 2**16
REPLICATED = set()


def device_mesh(names=("batch", "model")):
    devices = keras.distribution.list_devices()[:1]
    return keras.distribution.DeviceMesh((1,) * len(names), names, devices)


def weights_without_values(model, name):
    with keras.StatelessScope(initialize_variables=False):
        if model is Regen:
            return Regen.from_architecture(name, 32).weights
        # As many channels as MiniLM has, and 1,001 labels.
        conditions = {"text_channels": 384}, {"num_labels": 1000}
        found = {
            weight.path: weight
            for condition in conditions
            for weight in model.from_architecture(name, **condition).weights
        }
        return list(found.values())


@pytest.fixture(
    scope="module",
    params=[
        *((Regen, name) for name in ARCHITECTURES),
        *((LatentTransformer, name) for name in TRANSFORMERS),
    ],
)
def model_and_weights(request):
    # Keras keeps uninitialised variables by thread.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        weights = thread.submit(weights_without_values, *request.param).result()
    return request.param[0], weights


@pytest.fixture
def weights(model_and_weights):
    return model_and_weights[1]


@pytest.fixture
def layout(model_and_weights):
    return model_and_weights[0].get_layout_map(device_mesh())


def test_every_pattern_matches(layout, weights):
    for pattern in layout:
        assert any(re.fullmatch(pattern, v.path) for v in weights), pattern


def test_large_weights_are_shared_out(layout, weights):
    # Keras raises an error if two patterns match.
    missed = {v.path for v in weights if layout[v.path] is None}
    large = {v.path for v in weights if math.prod(v.shape) >= LARGE}
    assert large & missed == REPLICATED
    for variable in weights:
        if variable.path in large:
            assert layout[variable.path].axes.count("model") == 1


def test_eight_devices_share_every_axis(layout, weights):
    for variable in weights:
        found = layout[variable.path]
        if found is not None:
            assert len(found.axes) == len(variable.shape), variable.path
            for size, axis in zip(variable.shape, found.axes, strict=True):
                assert axis is None or size % 8 == 0, variable.path


def test_other_names():
    layout = Regen.get_layout_map(device_mesh(("data", "heads")), "heads", "data")
    assert layout["block_3/qkv/kernel"].axes == ("data", "heads")
    assert layout["block_3/attention_output/kernel"].axes == ("heads", "data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mesh",), "DeviceMesh.*Received: device_mesh=mesh"),
        ((device_mesh, "heads"), "batch, model. Received: heads"),
        ((device_mesh, "model", "data"), "batch, model. Received: data"),
    ],
)
def test_bad_arguments(arguments, message):
    mesh, *names = arguments
    with pytest.raises(ValueError, match=message):
        Regen.get_layout_map(mesh() if callable(mesh) else mesh, *names)
