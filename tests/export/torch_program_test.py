"""`torch.export` programs against the model itself."""

import pathlib

import keras
import numpy as np
import pytest

from tests.export.conftest import K, make_toy, random_video
from tests.export.halves import (
    CHUNKS,
    ask,
    check_decode,
    check_encode,
    decode_inputs,
    needs,
)

pytestmark = needs("torch")

LOAD = """
import torch

def load(path):
    half = torch.export.load(path + ".pt2").module()
    return lambda **inputs: half(**{k: torch.tensor(v) for k, v in inputs.items()})
"""


@pytest.fixture(scope="module")
def directory(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "regen"
    toy.export(path, format="torch", num_steps=2)
    return path


def test_encode(toy, directory, tmp_path):
    check_encode(toy, LOAD, directory, tmp_path, CHUNKS, atol=1e-6)


def test_an_image_is_encoded_as_a_chunk_that_repeats_it(toy, directory, tmp_path):
    image = random_video(2, 1, 16, 16, 3)
    requests = [("encode", {"video": np.repeat(image, K + 1, axis=1)})]
    (latents,) = ask(LOAD, directory, requests, tmp_path)
    np.testing.assert_allclose(latents[:, :1], toy.encode(image), atol=1e-6)


def test_decode(toy, directory, tmp_path):
    check_decode(toy, LOAD, directory, tmp_path, num_steps=2, atol=3e-5)


def test_weights_are_stored_once_under_their_paths(toy, directory):
    import torch

    for name, half in (("encode", toy.encoder), ("decode", toy.decoder)):
        path = directory / f"{name}.pt2"
        weights = torch.export.load(path).state_dict
        assert list(weights) == [v.path for v in half.variables]
        # No paths of this machine.
        assert str(pathlib.Path(keras.__file__).parent).encode() not in (
            path.read_bytes()
        )


def test_other_inputs_are_refused(directory):
    import torch

    encode = torch.export.load(directory / "encode.pt2").module()
    with pytest.raises(AssertionError, match="Guard failed"):
        encode(video=torch.zeros(1, K + 1, 20, 24, 3))
    decode = torch.export.load(directory / "decode.pt2").module()
    inputs = decode_inputs(np.zeros((1, 2, 2, 2, 8), "float32"), [0.0])
    inputs["noise"] = inputs["noise"][:, :, :8]
    with pytest.raises(AssertionError, match="Guard failed"):
        decode(**{k: torch.tensor(v) for k, v in inputs.items()})


def test_one_step_in_half_precision(toy, tmp_path):
    half = make_toy(dtype="mixed_bfloat16")
    half.export(tmp_path / "torch", format="torch")
    video = random_video(1, K + 1, 16, 24, 3)
    latents = half.encode(video)
    requests = [("encode", {"video": video}), ("decode", decode_inputs(latents, [0.5]))]
    answers = ask(LOAD, tmp_path / "torch", requests, tmp_path)
    expected = half.decode(latents, times=[0.5], seed=1)
    np.testing.assert_allclose(answers[0], latents, atol=1e-5)
    # The model fuses GELU into a product; the program rounds to bfloat16 in between.
    np.testing.assert_allclose(answers[1], expected, atol=0.02)
    assert np.abs(answers[0] - toy.encode(video)).max() > 1e-3
