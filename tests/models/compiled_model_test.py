"""CUDA graphs without a GPU: on the CPU a program runs where a GPU would replay it."""

import gc
import warnings

import keras
import numpy as np
import pytest

from keras_regen import diffusion
from keras_regen.models import compiled_model
from keras_regen.models.compiled_model import CompiledModel, GraphedModel, trace
from tests.models.conftest import awaken, make_regen
from tests.test_case import random

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="PyTorch's graphs"
)


@pytest.fixture
def recorded(monkeypatch):
    """Runs programs instead of recording them. A list of those that it ran."""
    programs = []

    def record(program, inputs):
        import torch

        programs.append(program)
        outputs = program(inputs)

        def replay():
            for kept, new in zip(outputs, program(inputs), strict=True):
                kept.copy_(new)

        if torch.is_tensor(outputs):
            return lambda: outputs.copy_(program(inputs)), outputs
        return replay, outputs

    monkeypatch.setattr(compiled_model, "record", record)
    return programs


@pytest.fixture
def on_cuda(monkeypatch, recorded):
    monkeypatch.setattr(compiled_model, "device_type", lambda: "cuda")
    return recorded


class Scaled(keras.Model):
    """Multiplies by a weight and by a constant."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones")
        self.calls = 0

    def call(self, inputs):
        self.calls += 1
        return inputs["x"] * self.scale * inputs.get("factor", 1)


def test_results_are_those_of_plain_calls(monkeypatch, on_cuda):
    regen = awaken(make_regen())
    video = np.random.default_rng(0).integers(0, 256, (2, 5, 16, 24, 3), "uint8")
    latents = [random(2, 2, 2, 3, 8, seed=i) for i in range(3)]

    def results():
        found = [regen.encode(video), regen.encode(video[:, :1])]
        found += [regen.decode(x, seed=i) for i, x in enumerate(latents)]
        found += [regen.decode(x, num_steps=3, dtype="uint8") for x in latents]
        return [*found, *(regen.reconstruct(np.roll(video, i)) for i in range(3))]

    graphed = results()
    assert len(on_cuda) == 3
    monkeypatch.setattr(compiled_model, "device_type", lambda: "cpu")
    # The loop computes a step's times itself.
    tolerances = [0] * 5 + [1] * 3 + [0] * 3
    for plain, result, tolerance in zip(results(), graphed, tolerances, strict=True):
        assert result.dtype == plain.dtype
        np.testing.assert_allclose(
            result.astype("float64"), plain.astype("float64"), rtol=0, atol=tolerance
        )


def test_overflow_is_an_error(on_cuda):
    regen = awaken(make_regen())
    for weight in regen.decoder.trainable_variables:
        weight.assign(weight * np.inf)
    for _ in range(3):
        with pytest.raises(ValueError, match="must be finite"):
            regen.decode(random(1, 2, 2, 3, 8))


@pytest.mark.parametrize(
    "source, constants",
    [
        ("latents", {"num_steps": 3}),
        ("video", {"num_steps": 1}),
        ("both", {"num_steps": 2, "refinements": 1}),
    ],
)
def test_nothing_waits_for_the_gpu(source, constants):
    """On the device `meta`, values that Python needs are an error."""
    import torch

    regen = make_regen()
    with torch.no_grad(), keras.device("meta"):
        for weight in regen.weights:
            weight._value = weight._value.to("meta")
        shapes = {"latents": (1, 2, 8, 9, 8), "video": (1, 5, 64, 72, 3)}
        times = np.arange(5, dtype="float32")[None]
        area = diffusion.Sampling().area(times, [[0, 0]])
        inputs = regen._decoding_inputs(2, times, area, 1)
        inputs = {name: torch.as_tensor(x).to("meta") for name, x in inputs.items()}
        inference = regen._inference
        if source == "both":
            compiled = inference._inverting("log_snr")
        else:
            shapes = {source: shapes[source]}
            compiled = inference._decoding(source, "uint8", "log_snr")
        inputs |= {x: torch.empty(shapes[x], device="meta") for x in shapes}
        program = trace(compiled._model.call, inputs, constants)
    copies = [
        node
        for node in program.graph.nodes
        if "_to_copy" in str(node.target) and "device" in node.kwargs
    ]
    assert len(program.graph.nodes) > 100
    assert not copies


def test_shapes_that_come_again_are_recorded_once(recorded):
    model = Scaled()
    graphed = GraphedModel(model)
    for size in (2, 3, 2, 3, 2):
        x = np.full(size, float(size), "float32")
        np.testing.assert_array_equal(graphed({"x": x}), x)
    assert len(recorded) == 2
    # Two plain calls and two that were recorded.
    assert model.calls == 4
    for _ in range(2):
        np.testing.assert_array_equal(graphed({"x": x, "factor": 3}), 3 * x)
    assert len(recorded) == 3


def test_results_stay(recorded):
    """A replay overwrites the tensors of the one before."""
    graphed = GraphedModel(Scaled())
    results = [graphed({"x": np.full(2, float(i), "float32")}) for i in range(4)]
    np.testing.assert_array_equal(np.stack(results)[:, 0], range(4))


def test_the_least_recent_graph_goes(recorded, monkeypatch):
    monkeypatch.setattr(compiled_model, "MAX_GRAPHS", 2)
    graphed = GraphedModel(Scaled())
    for size in (1, 1, 2, 2, 1, 3, 3, 1, 2, 2):
        graphed({"x": np.zeros(size, "float32")})
        assert len(graphed._graphs) <= 2
    assert len(recorded) == 4


def test_weights(recorded):
    """New values are used; a new place in memory is recorded again."""
    model = Scaled()
    graphed = GraphedModel(model)
    x = np.ones(2, "float32")
    graphed({"x": x}), graphed({"x": x})
    model.scale.assign(5.0)
    np.testing.assert_array_equal(graphed({"x": x}), 5 * x)
    assert len(recorded) == 1
    model.scale._value = (model.scale.value + 1).detach()
    for _ in range(3):
        np.testing.assert_array_equal(graphed({"x": x}), 6 * x)
    assert len(recorded) == 2


def test_what_cannot_be_recorded_is_called(monkeypatch):
    attempts = []

    def fail(program, inputs):
        attempts.append(program)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(compiled_model, "record", fail)
    graphed = GraphedModel(Scaled())
    x = np.ones(2, "float32")
    graphed({"x": x})
    with pytest.warns(UserWarning, match="without CUDA graphs.*not permitted"):
        np.testing.assert_array_equal(graphed({"x": x}), x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in (2, 3, 3):
            graphed({"x": np.ones(size, "float32")})
    assert len(attempts) == 1


def test_no_tensor_is_left_in_a_cycle(monkeypatch):
    import torch

    monkeypatch.setattr(CompiledModel, "_until_freeing", 0.0)
    gc.collect()
    gc.disable()
    try:
        CompiledModel(Scaled())({"x": np.ones((2, 3, 5, 7), "float32")})
        left = [x for x in gc.get_objects() if type(x) is torch.Tensor]
    finally:
        gc.enable()
    assert not any(x.shape == (2, 3, 5, 7) for x in left)
