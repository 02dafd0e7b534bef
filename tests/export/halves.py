"""Runs exported encoders and decoders in a process without Keras."""

import importlib.util
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_regen import diffusion
from tests.export.conftest import K, random_video

# The exporters trace with other shapes than these.
CHUNKS = [(1, K + 1, 16, 24, 3), (3, K + 1, 40, 16, 3)]
IMAGES = [(2, 1, 16, 16, 3)]
SMALLEST = [(1, K + 1, 8, 8, 3)]
TIMES = [-1.0, 0.0, 2.5]
# 6 * 14 * 16 tokens: more than one block of attention.
LARGE = (1, 2, 14, 16, 8)
LARGE_TIMES = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

PROCESS = """
import pickle, sys
import numpy as np
{load}
halves = {{}}
with open(sys.argv[2], "rb") as file:
    requests = pickle.load(file)
answers = []
for name, inputs in requests:
    if name not in halves:
        halves[name] = load(sys.argv[1] + "/" + name)
    answers.append(np.asarray(halves[name](**inputs)))
assert "keras" not in sys.modules and "keras_regen" not in sys.modules
with open(sys.argv[2], "wb") as file:
    pickle.dump(answers, file)
"""


def needs(backend, *modules):
    """Skips tests under another backend or without a package."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(
        keras.backend.backend() != backend or bool(missing),
        reason=f"needs {', '.join([backend, *modules])}",
    )


def decode_inputs(latents, times, seed=1):
    """Returns the inputs of `decode` for what `Regen.decode` takes."""
    batch, _, rows, columns, _ = latents.shape
    noise = diffusion.noise_canvas(seed, times, (0, 8 * rows), (0, 8 * columns))
    return {
        "latents": latents,
        "times": np.tile(np.float32(times), (batch, 1)),
        "noise": np.tile(noise, (batch, 1, 1, 1, 1)),
    }


def ask(load, directory, requests, tmp_path):
    """Returns the answers of an exported encoder or decoder.

    Args:
        load: str. Code that defines `load(path)`. It takes the path without suffix and
            returns a function that takes arrays by their names.
        directory: path of the exported model.
        requests: list of pairs of `"encode"` or `"decode"` and a dict of arrays.
        tmp_path: path of a directory.

    Returns:
        List of arrays.
    """
    path = tmp_path / "requests"
    path.write_bytes(pickle.dumps(requests))
    process = subprocess.run(
        [sys.executable, "-c", PROCESS.format(load=load), str(directory), str(path)],
        capture_output=True,
        text=True,
    )
    assert not process.returncode, process.stderr
    return pickle.loads(path.read_bytes())


def check_encode(regen, load, directory, tmp_path, shapes, atol):
    """Checks the latents of videos of all shapes."""
    videos = [random_video(*shape) for shape in shapes]
    requests = [("encode", {"video": video}) for video in videos]
    answers = ask(load, directory, requests, tmp_path)
    for video, answer in zip(videos, answers, strict=True):
        np.testing.assert_allclose(answer, regen.encode(video), atol=atol)


def check_decode(regen, load, directory, tmp_path, num_steps, atol, extra=None):
    """Checks chunks, images and more tokens than one block of attention has.

    Args:
        extra: callable of a batch size that returns a dict of more inputs, or None.
    """
    asked = [
        (regen.encode(random_video(*shape)), TIMES)
        for shape in CHUNKS + IMAGES + SMALLEST
    ]
    asked.append((random_video(*LARGE), LARGE_TIMES))
    # One frame, and other numbers of frames.
    asked += [(asked[0][0], times) for times in ([3.0], LARGE_TIMES)]
    requests = [
        (
            "decode",
            decode_inputs(latents, times) | (extra(len(latents)) if extra else {}),
        )
        for latents, times in asked
    ]
    answers = ask(load, directory, requests, tmp_path)
    for (latents, times), answer in zip(asked, answers, strict=True):
        expected = regen.decode(latents, times=times, num_steps=num_steps, seed=1)
        np.testing.assert_allclose(answer, expected, atol=atol)
