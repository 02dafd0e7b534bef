"""StableHLO files against the model itself."""

import pathlib
import re

import keras
import numpy as np
import pytest

from tests.export.conftest import make_toy, random_video
from tests.export.halves import (
    CHUNKS,
    IMAGES,
    SMALLEST,
    ask,
    check_decode,
    check_encode,
    decode_inputs,
    needs,
)

pytestmark = needs("jax", "flatbuffers")

LOAD = """
import jax

def load(path):
    with open(path + ".jax_export", "rb") as file:
        half = jax.export.deserialize(file.read())
    names = {"encode": ["video"]}.get(
        path[-6:], ["latents", "times", "noise", "num_steps"]
    )
    return lambda **inputs: half.call(*(inputs[name] for name in names))
"""


WINDOW = (None, 2, 2)


@pytest.fixture(scope="module")
def toy():
    return make_toy(WINDOW)


@pytest.fixture(scope="module")
def directory(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("stablehlo") / "regen"
    toy.export(path, format="stablehlo")
    return path


@pytest.mark.parametrize("dtype", [None, "mixed_bfloat16"])
def test_one_file_is_for_all_platforms(toy, directory, tmp_path, dtype):
    import jax

    if dtype:
        directory = tmp_path / "regen"
        make_toy(WINDOW, dtype=dtype).export(directory, format="stablehlo")
    for name in ("encode", "decode"):
        data = (directory / f"{name}.jax_export").read_bytes()
        half = jax.export.deserialize(data)
        assert half.platforms == ("cpu", "cuda", "tpu")
        # Only StableHLO, no kernel for one device.
        calls = re.findall(r"stablehlo.custom_call @(\w+)", half.mlir_module())
        assert set(calls) <= {"shape_assertion"}
        # No paths of this machine.
        assert str(pathlib.Path(keras.__file__).parent).encode() not in data


def test_encode(toy, directory, tmp_path):
    shapes = CHUNKS + IMAGES + SMALLEST
    check_encode(toy, LOAD, directory, tmp_path, shapes, atol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 3])
def test_decode(toy, directory, tmp_path, num_steps):
    def extra(batch):
        return {"num_steps": np.full(batch, num_steps, "int32")}

    check_decode(toy, LOAD, directory, tmp_path, num_steps, 1e-4, extra)


def test_each_sample_may_have_its_own_steps(toy, directory, tmp_path):
    latents = toy.encode(random_video(*CHUNKS[1]))
    inputs = decode_inputs(latents, [1.0])
    inputs["num_steps"] = np.array([3, 1, 2], "int32")
    (answer,) = ask(LOAD, directory, [("decode", inputs)], tmp_path)
    for i, num_steps in enumerate(inputs["num_steps"]):
        expected = toy.decode(
            latents[i : i + 1], times=[1.0], num_steps=int(num_steps), seed=1
        )
        np.testing.assert_allclose(answer[i : i + 1], expected, atol=1e-4)


def test_half_precision(toy, tmp_path):
    half = make_toy(WINDOW, dtype="mixed_bfloat16")
    half.export(tmp_path / "regen", format="stablehlo")
    video = random_video(*CHUNKS[0])
    requests = [("encode", {"video": video})]
    (latents,) = ask(LOAD, tmp_path / "regen", requests, tmp_path)
    np.testing.assert_allclose(latents, half.encode(video), atol=1e-2)
    assert np.abs(latents - toy.encode(video)).max() > 1e-3
