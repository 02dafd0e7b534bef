"""A toy model over gRPC and REST."""

import base64
import json
import shutil
import struct
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest

from tests.serving.calls import make_calls
from tests.serving.processes import ROOT, run_python, serve
from tests.serving.toy_requests import assert_answers, needs_tensorflow_serving

pytestmark = needs_tensorflow_serving


class TestGrpc:
    def test_every_signature(self, ports, requests):
        calls = [(name, inputs) for name, (inputs, _) in requests.items()]
        target = f"grpc://localhost:{ports['grpc']}/regen"
        assert_answers(make_calls(target, calls), requests)

    def test_errors_are_statuses(self, ports, requests):
        inputs = requests["reconstruct"][0]
        target = f"grpc://localhost:{ports['grpc']}/regen"
        answers = make_calls(
            target,
            [
                ("reconstruct", inputs | {"num_steps": np.int32(33)}),
                ("unknown", inputs),
            ],
        )
        assert [code for code, _ in answers] == [
            "INVALID_ARGUMENT",
            "FAILED_PRECONDITION",
        ]
        assert "At most 32 steps" in answers[0][1]
        other = f"grpc://localhost:{ports['grpc']}/other"
        ((code, message),) = make_calls(other, [("reconstruct", inputs)])
        assert (code, message) == (
            "NOT_FOUND",
            "Servable not found for request: Latest(other)",
        )

    def test_methods_other_than_predict(self, ports):
        script = """
import sys, grpc
import tests.serving.light_protos
from tensorflow_serving.apis import (
    classification_pb2, get_model_metadata_pb2, predict_pb2,
    prediction_service_pb2_grpc,
)
channel = grpc.insecure_channel(sys.argv[1])
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
request = get_model_metadata_pb2.GetModelMetadataRequest()
request.model_spec.name = "regen"
request.metadata_field.append("signature_def")
response = stub.GetModelMetadata(request, timeout=30)
signatures = get_model_metadata_pb2.SignatureDefMap()
response.metadata["signature_def"].Unpack(signatures)
assert response.model_spec.version.value == 1
print(*sorted(signatures.signature_def))
assert signatures.signature_def["decode"].inputs["seed"].tensor_shape.unknown_rank
for make, spec in (
    (lambda request: stub.Classify(request, timeout=30),
     classification_pb2.ClassificationRequest()),
    (lambda request: stub.Predict(request, timeout=30), predict_pb2.PredictRequest()),
):
    try:
        make(spec)
    except grpc.RpcError as error:
        print(error.code().name)
"""
        process = run_python("-c", script, f"localhost:{ports['grpc']}")
        assert process.returncode == 0, process.stderr
        signatures, *codes = process.stdout.splitlines()
        kinds = ("decode", "encode", "reconstruct")
        names = [f"{kind}{suffix}" for kind in kinds for suffix in ("", "_bytes")]
        names += [f"{kind}_uint8" for kind in kinds]
        names += ["serving_default", "__saved_model_init_op"]
        assert signatures.split() == sorted(names)
        assert codes == ["UNIMPLEMENTED", "INVALID_ARGUMENT"]


def ask(ports, path, body=None):
    """Sends a REST request. Returns the HTTP status and the JSON of the answer."""
    url = f"http://localhost:{ports['rest']}/v1/models/{path}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(url, data, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def to_json(name, value):
    if name == "video_bytes":
        return [{"b64": base64.b64encode(text).decode()} for text in value]
    return np.asarray(value).tolist()


def from_json(name, value, dtype):
    if name == "video_bytes":
        return np.array([base64.b64decode(text["b64"]) for text in value], object)
    return np.array(value, dtype)


class TestRest:
    def test_columns(self, ports, requests):
        answers = []
        for name, (inputs, expected) in requests.items():
            columns = {key: to_json(key, value) for key, value in inputs.items()}
            status, answer = ask(
                ports, "regen:predict", {"signature_name": name, "inputs": columns}
            )
            assert status == 200, (name, answer)
            outputs = answer["outputs"]
            if len(expected) == 1:
                outputs = dict.fromkeys(expected, outputs)
            answers.append(
                {k: from_json(k, outputs[k], expected[k].dtype) for k in expected}
            )
        assert_answers(answers, requests)

    def test_rows(self, ports, requests):
        answers = []
        for name, (inputs, expected) in requests.items():
            if "num_frames" in inputs:
                inputs = inputs | {"num_frames": [9, 9]}
            columns = {key: to_json(key, value) for key, value in inputs.items()}
            rows = [
                dict(zip(columns, row, strict=True))
                for row in zip(*columns.values(), strict=True)
            ]
            status, answer = ask(
                ports, "regen/versions/1:predict",
                {"signature_name": name, "instances": rows},
            )  # fmt: skip
            assert status == 200, (name, answer)
            rows = answer["predictions"]
            assert len(rows) == 2
            if len(expected) == 1:
                rows = [dict.fromkeys(expected, row) for row in rows]
            answers.append(
                {
                    k: from_json(k, [row[k] for row in rows], expected[k].dtype)
                    for k in expected
                }
            )
        assert_answers(answers, requests)

    def test_a_single_input_without_its_name(self, ports, requests):
        inputs, expected = requests["serving_default"]
        video = inputs["video"].tolist()
        for key, result in (("instances", "predictions"), ("inputs", "outputs")):
            status, answer = ask(ports, "regen:predict", {key: video})
            assert status == 200
            np.testing.assert_allclose(answer[result], expected["latents"], atol=1e-5)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "Missing 'inputs' or 'instances' key"),
            ({"inputs": [], "instances": []}, "only one of"),
            ({"instances": []}, "at least one value"),
            ({"instances": [1], "signature_name": "decode"}, "multiple input tensors"),
            ({"instances": [{"other": 1}]}, "Keys must be equal to: video"),
            ({"inputs": {"other": 1}}, "Missing named input: video"),
            ({"inputs": [[1], [1, 2]]}, "Input video"),
            ({"inputs": ["a"]}, "not of expected type: float32"),
            ({"inputs": [[[[[0.0] * 3]]]]}, "multiples of 8"),
            ({"signature_name": "encode_uint8", "inputs": [0.5]}, "uint8"),
            ({"signature_name": "other", "inputs": [1]}, '"other" not found'),
            (
                {
                    "signature_name": "encode_bytes",
                    "instances": [{"video_bytes": {"b64": "?"}, "shape": [1, 8, 8, 3]}],
                },
                "Unable to base64 decode",
            ),
            ([], "Is not object"),
        ],
    )
    def test_refusals(self, ports, body, message):
        status, answer = ask(ports, "regen:predict", body)
        assert status == 400
        assert answer.keys() == {"error"}
        assert message in answer["error"]

    def test_status_and_metadata(self, ports):
        status, answer = ask(ports, "regen")
        assert status == 200
        assert answer == {
            "model_version_status": [
                {
                    "version": "1",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        }
        status, answer = ask(ports, "regen/versions/1/metadata")
        assert status == 200
        assert answer["model_spec"]["version"] == "1"
        signatures = answer["metadata"]["signature_def"]["signature_def"]
        video = signatures["encode_bytes"]["inputs"]["video_bytes"]
        assert video["dtype"] == "DT_STRING"
        assert signatures["decode"]["inputs"]["seed"]["tensor_shape"]["unknown_rank"]

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("other", None, 404),
            ("regen/versions/2", None, 404),
            ("other:predict", {}, 404),
            ("regen:predict", None, 400),
            ("regen:classify", {}, 400),
        ],
    )
    def test_missing_models_and_methods(self, ports, path, body, status):
        received, answer = ask(ports, path, body)
        assert received == status
        assert ("Servable not found" in answer["error"]) == (status == 404)


class TestStart:
    def test_warm_up_requests_are_replayed(self, ports):
        assert ports["warmed_up"] == 1

    def test_the_highest_version(self, model_dir, tmp_path):
        for version in ("2", "10", "tmp"):
            shutil.copytree(model_dir / "1", tmp_path / version)
        with serve(tmp_path) as ports:
            assert ports["version"] == 10

    @pytest.mark.parametrize("damage", ["checksum", "length", "signature"])
    def test_a_failed_warm_up_fails_the_start(self, model_dir, tmp_path, damage):
        shutil.copytree(model_dir / "1", tmp_path / "1")
        path = tmp_path / "1" / "assets.extra" / "tf_serving_warmup_requests"
        data = bytearray(path.read_bytes())
        if damage == "checksum":
            data[-20] ^= 1
        elif damage == "length":
            del data[-1]
        else:
            # One letter of the name, with valid checksums.
            data[data.index(b"encode")] = ord("E")
            script = "\n".join(
                [
                    "import sys; from tests.serving.warmup import checksum",
                    "print(checksum(bytes.fromhex(sys.stdin.read())))",
                ]
            )
            process = subprocess.run(
                [sys.executable, "-c", script],
                input=data[12:-4].hex(),
                capture_output=True,
                text=True,
                cwd=ROOT,
                check=True,
            )
            data[-4:] = struct.pack("<I", int(process.stdout))
        path.write_bytes(data)
        expected = {
            "checksum": "DATA_LOSS: corrupted record",
            "length": "DATA_LOSS: truncated record",
            "signature": 'FAILED_PRECONDITION: Serving signature key "Encode"',
        }
        process = run_python("-m", "tests.serving.server", tmp_path)
        assert process.returncode == 1
        assert f"Failed to start server. Error: {expected[damage]}" in process.stderr
