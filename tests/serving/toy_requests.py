"""Requests to the toy model, and the expected answers."""

import importlib.util

import numpy as np
import pytest

needs_tensorflow_serving = pytest.mark.skipif(
    any(not importlib.util.find_spec(n) for n in ("tensorflow", "tensorflow_serving")),
    reason="needs tensorflow and tensorflow-serving-api",
)
SHAPE = (9, 16, 24, 3)


def toy_requests():
    """Returns a request of each signature, and the answer computed by NumPy.

    Returns:
        Dict from the name of a signature to its inputs and outputs, dicts of arrays.
    """
    video = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), "uint8")
    floats = video.astype("float32") / np.float32(127.5) - 1
    texts = [chunk.tobytes() for chunk in video]
    shapes = np.array([SHAPE] * 2, "int32")
    means = floats.reshape(2, 9, 2, 8, 3, 8, 3).mean((3, 5))
    means = np.stack([means[:, 0], means[:, 1:].mean(1)], 1)
    latents = np.tile(means, 3)[..., :8]
    drawn = {
        "seed": np.array([0, 30], "int64"),
        "num_steps": np.array([1, 4], "int32"),
    }
    light = drawn["seed"] / 100 + drawn["num_steps"] / 100
    decoded = means.repeat(8, 2).repeat(8, 3)[:, [0] + 8 * [1]]
    decoded = (decoded + light[:, None, None, None, None]).astype("float32")
    pixels = np.clip(np.round((decoded + 1) * 127.5), 0, 255).astype("uint8")
    videos = {
        "": {"video": floats},
        "_uint8": {"video": video},
        "_bytes": {"video_bytes": texts, "shape": shapes},
    }
    answers = {
        "": {"video": decoded},
        "_uint8": {"video": pixels},
        "_bytes": {
            "video_bytes": np.array([p.tobytes() for p in pixels], object),
            "shape": shapes,
        },
    }
    code = {"latents": latents}
    requests = {"serving_default": (videos[""], code)}
    for suffix, inputs in videos.items():
        requests |= {
            f"encode{suffix}": (inputs, code),
            f"decode{suffix}": (
                {**code, **drawn, "num_frames": np.int32(9)},
                answers[suffix],
            ),
            f"reconstruct{suffix}": ({**inputs, **drawn}, answers[suffix]),
        }
    return requests


def assert_answers(answers, requests):
    """Compares answers, a list of dicts of arrays, with `toy_requests`."""
    for answer, (name, (_, expected)) in zip(answers, requests.items(), strict=True):
        assert isinstance(answer, dict), (name, answer)
        assert answer.keys() == expected.keys(), name
        for key, value in expected.items():
            assert answer[key].dtype == value.dtype, (name, key)
            if key == "video_bytes":
                result, value = (
                    np.stack([np.frombuffer(text, "uint8") for text in texts])
                    for texts in (answer[key], value)
                )
            else:
                result = answer[key]
            # Pixels may be rounded differently.
            tolerance = 1e-5 if value.dtype == "float32" else 1
            np.testing.assert_allclose(
                result.astype("float64"), value, atol=tolerance, err_msg=name
            )
