import concurrent.futures
import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_regen import diffusion
from keras_regen.layers import PatchEmbedding
from keras_regen.models.compiled_model import CompiledModel
from keras_regen.models.inference import Inference
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
    call = CompiledModel.__call__

    def counted(self, inputs):
        outputs = call(self, inputs)
        arrays = keras.tree.flatten((inputs, outputs))
        crossed.extend(
            (x.shape, keras.backend.standardize_dtype(x.dtype)) for x in arrays
        )
        return outputs

    monkeypatch.setattr(CompiledModel, "__call__", counted)
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
    video = regen.decode_chunks(latents, times, area, num_steps=3)
    expected = np.clip(ops.convert_to_numpy(expected), -1, 1)
    np.testing.assert_allclose(video, expected, atol=1e-4)


def test_weights_that_change_are_the_ones_that_decode():
    regen = awaken(make_regen())
    latents = random(1, 2, 2, 3, 8)
    before = regen.decode(latents)
    for weight in regen.decoder.trainable_variables:
        weight.assign(weight + 0.1)
    assert np.any(regen.decode(latents) != before)


@pytest.mark.parametrize("change", ["LoRA", "quantization"])
def test_variables_that_are_replaced_are_the_ones_that_decode(change):
    regen = awaken(make_regen())
    latents = random(1, 2, 2, 3, 8)
    before = regen.decode(latents)
    layer = regen.decoder.get_layer("block_0").mlp_output
    if change == "LoRA":
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(random(*layer.lora_kernel_b.shape))
    else:
        layer.quantize("int8")
    after = regen.decode(latents)
    assert np.any(after != before)
    another = Inference(regen.encoder, regen.decoder, regen._decode_tensors)
    regen._inference = another
    np.testing.assert_array_equal(regen.decode(latents), after)


def test_threads_share_the_networks():
    regen = awaken(make_regen())
    video = np.random.default_rng(0).integers(0, 256, (1, 5, 16, 24, 3), "uint8")
    calls = [
        functools.partial(regen.encode, video),
        functools.partial(regen.decode, random(1, 2, 2, 3, 8)),
        functools.partial(regen.reconstruct, video),
        functools.partial(regen.denoising_losses, video, [0.5]),
        # Compiled by several threads at once.
        functools.partial(regen.decode, random(1, 2, 1, 2, 8)),
    ]
    expected = [call() for call in calls[:4]]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda i: calls[i % 5](), range(100)))
    expected.append(calls[4]())
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result, expected[i % 5])


def test_it_adds_nothing_to_what_is_saved():
    regen = awaken(make_regen())
    regen.decode(random(1, 2, 2, 3, 8))
    assert {layer.name for layer in regen.layers} == {"encoder", "decoder"}


INVERTED = {"num_steps": 5, "refinements": 4}


def mild(regen):
    """Small random values in all weights: a decoder that inversion can follow."""
    for i, weight in enumerate(regen.trainable_variables):
        noise = keras.random.normal(weight.shape, stddev=0.02, seed=i)
        weight.assign(weight + noise)
    return regen


@pytest.mark.parametrize("schedule", diffusion.SCHEDULES)
def test_the_noise_that_is_found_gives_the_video_back(schedule):
    regen = mild(make_regen())
    video = np.tanh(random(2, 5, 16, 24, 3))
    latents = regen.encode(video)
    noise = regen.invert(video, schedule=schedule, **INVERTED)
    assert noise.shape == video.shape and noise.dtype == "float32"
    again = regen.decode(latents, noise=noise, num_steps=5, schedule=schedule)
    assert np.abs(again - video).max() < 0.01
    # One sample alone has the same noise.
    alone = regen.invert(video[1:], latents[1:], schedule=schedule, **INVERTED)
    np.testing.assert_allclose(alone, noise[1:], atol=1e-3)


def test_inversion_at_other_times_and_of_images():
    regen = mild(make_regen())
    video, times = np.tanh(random(1, 3, 16, 24, 3)), [-1.0, 0.5, 6.0]
    latents = random(1, 2, 2, 3, 8)
    noise = regen.invert(video, latents, times=times, **INVERTED)
    again = regen.decode(latents, times=times, noise=noise, num_steps=5)
    assert np.abs(again - video).max() < 0.01
    image = video[:, :1]
    noise = regen.invert(image, **INVERTED)
    again = regen.decode(regen.encode(image), noise=noise, num_steps=5)
    assert np.abs(again - image).max() < 0.01


@compiles
def test_a_second_inversion_traces_nothing(traces):
    regen = mild(make_regen())
    video = random(1, 5, 16, 24, 3)
    regen.invert(video, num_steps=2)
    count = len(traces)
    assert count > 0
    regen.invert(0.5 * video, num_steps=3, refinements=1)
    assert len(traces) == count


def test_wrong_inversions():
    regen = make_regen()
    video, latents = np.zeros((1, 5, 16, 24, 3)), np.zeros((1, 2, 2, 3, 8))
    for arguments, message in (
        ({"refinements": -1}, "refinements=-1"),
        ({"num_steps": 0}, "num_steps=0"),
        ({"schedule": "even"}, "uniform, log_snr. Received: schedule='even'"),
        ({"times": [0.0]}, "`times` need `latents`"),
        ({"times": [0.0], "latents": latents}, r"\(1, 1, 16, 24, 3\), uint8 or float"),
        ({"latents": latents[:, :, :1]}, r"\(1, 5, 8, 24, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            regen.invert(video, **arguments)
    for noise, message in (
        (np.zeros((1, 4, 16, 24, 3)), r"\(1, 5, 16, 24, 3\).*noise.shape=\(1, 4"),
        (np.zeros(video.shape, int), "noise.dtype=int"),
        (np.full(video.shape, np.nan), "Noise must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            regen.decode(latents, noise=noise)
