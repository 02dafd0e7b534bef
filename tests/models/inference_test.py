import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_regen import diffusion
from keras_regen.layers import PatchEmbedding
from tests.models.conftest import awaken, make_regen
from tests.test_case import random

compiles = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch runs the layers themselves"
)


@pytest.fixture
def traces(monkeypatch):
    """A list that grows by one whenever the decoder is traced."""
    found, call = [], PatchEmbedding.call

    @functools.wraps(call)
    def counted(self, video):
        found.append(self)
        return call(self, video)

    monkeypatch.setattr(PatchEmbedding, "call", counted)
    return found


@compiles
@pytest.mark.parametrize("num_steps", [1, 3])
def test_a_second_decode_traces_nothing(traces, num_steps):
    regen = awaken(make_regen())
    first, second = (random(1, 2, 2, 3, 8, seed=i) for i in range(2))
    regen.decode(first, num_steps=num_steps)
    count = len(traces)
    assert count > 0
    video = regen.decode(second, num_steps=num_steps, seed=1)
    assert len(traces) == count
    assert np.any(video != regen.decode(first, num_steps=num_steps))


@compiles
def test_another_place_on_the_canvas_traces_nothing(traces):
    regen = awaken(make_regen())
    latents = random(1, 2, 2, 3, 8)
    first = regen.decode(latents)
    count = len(traces)
    video = regen.decode(latents, origin=(10, 8, 16), noise_scale=0.5)
    assert len(traces) == count
    assert np.any(video != first)


def test_what_crosses(monkeypatch):
    """uint8 in and out, and no latents between encoder and decoder."""
    crossed, regen = [], awaken(make_regen())
    predict = keras.Model.predict_on_batch

    def counted(self, inputs):
        outputs = predict(self, inputs)
        arrays = keras.tree.flatten((inputs, outputs))
        crossed.extend(
            (x.shape, keras.backend.standardize_dtype(x.dtype)) for x in arrays
        )
        return outputs

    monkeypatch.setattr(keras.Model, "predict_on_batch", counted)
    video = np.zeros((1, 5, 16, 24, 3), "uint8")
    assert regen.reconstruct(video).dtype == "uint8"
    large = [(tuple(shape), dtype) for shape, dtype in crossed if len(shape) == 5]
    assert large == 2 * [(video.shape, "uint8")]


@compiles
def test_any_number_of_steps_is_one_loop(traces):
    regen = awaken(make_regen())
    latents = random(1, 2, 2, 3, 8)
    regen.decode(latents, num_steps=2)
    count = len(traces)
    regen.decode(latents, num_steps=5)
    assert len(traces) == count


def test_the_loop_is_the_steps_one_after_the_other():
    regen = awaken(make_regen())
    latents = random(1, 2, 2, 3, 8)
    times = np.arange(5, dtype="float32")[None]
    noise = diffusion.noise_canvas(0, times[0], (0, 16), (0, 24))[None]

    def predict(x, t):
        inputs = {"video": x, "latents": latents, "times": times}
        inputs = {k: ops.convert_to_tensor(v) for k, v in inputs.items()}
        return regen.decoder({**inputs, "timestep": ops.broadcast_to(t, (1,))})

    expected = diffusion.sample(
        predict, noise, regen.diffusion_path, regen.prediction, num_steps=3
    )
    area = diffusion.Sampling().area(times, [[0, 0]])
    video = regen.generate(latents, times, area, num_steps=3)
    expected = np.clip(ops.convert_to_numpy(expected), -1, 1)
    np.testing.assert_allclose(video, expected, atol=1e-4)


def test_weights_that_change_are_the_ones_that_decode():
    regen = awaken(make_regen())
    latents = random(1, 2, 2, 3, 8)
    before = regen.decode(latents)
    for weight in regen.decoder.trainable_variables:
        weight.assign(weight + 0.1)
    assert np.any(regen.decode(latents) != before)


def test_it_adds_nothing_to_what_is_saved():
    regen = awaken(make_regen())
    regen.decode(random(1, 2, 2, 3, 8))
    assert {layer.name for layer in regen.layers} == {"encoder", "decoder"}
