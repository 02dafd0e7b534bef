"""A toy model through the C API."""

import numpy as np

from tests.serving.calls import make_calls
from tests.serving.processes import run_python
from tests.serving.toy_requests import (
    SHAPE,
    assert_answers,
    needs_tensorflow_serving,
)

pytestmark = needs_tensorflow_serving


class TestSession:
    def test_every_signature(self, model_dir, requests):
        calls = [(name, inputs) for name, (inputs, _) in requests.items()]
        assert_answers(make_calls(model_dir / "1", calls), requests)

    def test_errors_are_statuses(self, model_dir, requests):
        video = {"video": requests["encode"][0]["video"]}
        calls = [
            ("encode", {"video": np.full((1, *SHAPE), np.nan, "float32")}),
            ("encode", {"video": video["video"][:, :, :15]}),
            ("encode", {"video": video["video"].astype("float64")}),
            ("encode", {}),
            ("decode", {**requests["decode"][0], "num_steps": np.int32(33)}),
            ("unknown", video),
            ("encode", video),
        ]
        *errors, good = make_calls(model_dir / "1", calls)
        assert [code for code, _ in errors] == [
            *["INVALID_ARGUMENT"] * 5,
            "FAILED_PRECONDITION",
        ]
        messages = ("finite", "multiples of 8", "double", "{video}", "32", '"unknown"')
        for message, (_, received) in zip(messages, errors, strict=True):
            assert message in received
        # A refused request does not affect the session.
        assert_answers([good], {"encode": requests["encode"]})

    def test_strings_keep_zeros_and_sizes(self, model_dir):
        # TensorFlow stores short strings in place and long ones elsewhere.
        shape = np.array([1, 8, 8, 3], "int32")
        text = bytes(192)
        one_pixel = {"video_bytes": text, "shape": shape}
        drawn = {"seed": np.int64(0), "num_steps": np.int32(0)}
        answers = make_calls(
            model_dir / "1",
            [
                ("encode_bytes", one_pixel | {"video_bytes": [text[:150], text]}),
                ("encode_bytes", one_pixel | {"video_bytes": [b"\0" * 5]}),
                ("reconstruct_bytes", one_pixel | drawn | {"video_bytes": [text]}),
            ],
        )
        assert [answer[0] for answer in answers[:2]] == ["INVALID_ARGUMENT"] * 2
        assert answers[2]["video_bytes"].tolist() == [text]

    def test_memory_is_released(self, model_dir):
        script = """
import resource, sys, numpy as np
from tests.serving.c_api import Session
with Session(sys.argv[1]) as session:
    inputs = {"video_bytes": [bytes(9 * 128 * 128 * 3)] * 2, "seed": np.int64(0),
              "shape": np.array([9, 128, 128, 3], "int32"), "num_steps": np.int32(1)}
    for run in range(60):
        session.run("reconstruct_bytes", inputs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if run == 20:
            before = peak
print((peak - before) / 1024)
"""
        process = run_python("-c", script, model_dir / "1")
        assert process.returncode == 0, process.stderr
        # 40 runs send 34 MiB of strings and receive as many.
        assert float(process.stdout) < 10

    def test_a_directory_without_a_model(self, tmp_path):
        process = run_python("-m", "tests.serving.calls", tmp_path)
        assert process.returncode != 0
        assert "StatusError: NOT_FOUND" in process.stderr
