"""SavedModels loaded as servers do, by TensorFlow's C API and over the wire."""

import keras
import numpy as np
import pytest

from keras_regen.pixels import to_uint8, to_unit_range
from tests.export.conftest import K, random_video
from tests.serving.calls import make_calls
from tests.serving.processes import serve
from tests.serving.toy_requests import needs_tensorflow_serving

pytestmark = [
    needs_tensorflow_serving,
    pytest.mark.skipif(
        keras.backend.backend() == "torch", reason="a process with TensorFlow exports"
    ),
]
SHAPE = (K + 1, 16, 24, 3)
SEEDS, STEPS = [7, 2**40], [3, 1]


@pytest.fixture(scope="module")
def calls(regen):
    """A request of every signature, with the model's own answer."""
    pixels = to_uint8(random_video(2, *SHAPE))
    video = to_unit_range(pixels)
    latents = regen.encode(video)
    drawn = {
        "seed": np.array(SEEDS, "int64"),
        "num_steps": np.array(STEPS, "int32"),
    }
    decoded = np.concatenate(
        [
            regen.decode(latents[i : i + 1], seed=SEEDS[i], num_steps=STEPS[i])
            for i in range(2)
        ]
    )
    texts = {
        "video_bytes": [chunk.tobytes() for chunk in pixels],
        "shape": np.array([SHAPE] * 2, "int32"),
    }
    answers = {
        "": {"video": decoded},
        "_uint8": {"video": to_uint8(decoded)},
        "_bytes": {
            "video_bytes": [chunk.tobytes() for chunk in to_uint8(decoded)],
            "shape": [SHAPE] * 2,
        },
    }
    sources = {"": {"video": video}, "_uint8": {"video": pixels}, "_bytes": texts}
    requests = [("serving_default", {"video": video}, {"latents": latents})]
    for suffix, source in sources.items():
        decode = {
            "latents": latents,
            **drawn,
            "num_frames": np.array([K + 1] * 2, "int32"),
        }
        requests += [
            (f"encode{suffix}", source, {"latents": latents}),
            (f"decode{suffix}", decode, answers[suffix]),
            (f"reconstruct{suffix}", {**source, **drawn}, answers[suffix]),
        ]
    return requests


def assert_answers(answers, calls):
    for answer, (name, _, expected) in zip(answers, calls, strict=True):
        assert isinstance(answer, dict), (name, answer)
        assert answer.keys() == expected.keys(), name
        for key, value in expected.items():
            result = answer[key]
            if key == "video_bytes":
                result, value = (
                    np.stack([np.frombuffer(text, "uint8") for text in texts])
                    for texts in (result, value)
                )
            # The last digit of a pixel halfway between two levels decides.
            tolerance = {"latents": 1e-5}.get(key, 1e-4)
            tolerance = tolerance if result.dtype == "float32" else 1
            result = result.astype("float64")
            np.testing.assert_allclose(result, value, atol=tolerance, err_msg=name)


def test_over_the_wire(saved_model, calls):
    with serve(saved_model.parent) as server:
        # Two sizes of nine signatures and the default signature.
        assert server["warmed_up"] == 20
        target = f"grpc://localhost:{server['grpc']}/regen"
        answers = make_calls(target, [call[:2] for call in calls])
    assert_answers(answers, calls)


def test_by_the_c_api(saved_model, calls):
    """Servers do not compare inputs with the signature."""
    requests = {name: inputs for name, inputs, _ in calls}
    hostile = []
    for name, inputs in requests.items():
        for key in inputs:
            value = np.asarray(inputs[key])
            if key == "video_bytes":
                bad = [[b"abc"], b"", np.array([[b""]], object)]
            elif key == "shape":
                bad = [value[:, :3], -value, value.astype("float64")]
            else:
                bad = [value[None], value.reshape(-1)[:0], value.astype("float64")]
                if value.ndim > 1:
                    bad += [value[0], value.reshape(-1)[0]]
            hostile += [(name, inputs | {key: array}) for array in bad]
    hostile += [
        ("encode", {"video": requests["encode"]["video"][..., :2]}),
        ("encode", {"video": np.full((1, *SHAPE), np.nan, "float32")}),
        ("encode_uint8", {"video": np.zeros((1, 0, 8, 8, 3), "uint8")}),
        ("encode_uint8", {"video": np.zeros((1, 1, 12, 8, 3), "uint8")}),
        ("decode", requests["decode"] | {"num_frames": np.int32(2**31 - 1)}),
        ("reconstruct", requests["reconstruct"] | {"num_steps": np.int32(2**31 - 1)}),
    ]
    answers = make_calls(saved_model, hostile + [call[:2] for call in calls])
    refused, answered = answers[: len(hostile)], answers[len(hostile) :]
    for request, answer in zip(hostile, refused, strict=True):
        assert isinstance(answer, tuple), request
        assert answer[0] == "INVALID_ARGUMENT", (request, answer)
    # Good requests are answered, after bad ones too.
    assert_answers(answered, calls)
