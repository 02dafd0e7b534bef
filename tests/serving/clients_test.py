"""The example clients, configurations and measurement, with a toy model."""

import numpy as np
import pytest

from keras_regen.video import VideoReader
from tests.serving.processes import ROOT, run_python, serve
from tests.serving.toy_requests import needs_tensorflow_serving
from tests.video.videos import CLIP, read, write

pytestmark = needs_tensorflow_serving
EXAMPLES = ROOT / "examples" / "serving"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two and a half chunks, whose sides are not multiples of 8."""
    frames = read(CLIP)[:21, :42, :61]
    return write(tmp_path_factory.mktemp("clip") / "clip.mp4", frames)


class TestExamples:
    def run(self, name, clip, output, *arguments):
        process = run_python(EXAMPLES / name, clip, "-o", output, *arguments)
        assert process.returncode == 0, process.stderr
        assert "21/21 frames" in process.stdout
        return read(output), process.stdout.splitlines()[-1]

    @pytest.mark.parametrize(
        ("client", "port", "options"),
        [
            ("grpc_client.py", "grpc", []),
            ("rest_client.py", "rest", []),
            ("rest_client.py", "rest", ["--json"]),
        ],
    )
    def test_a_video_comes_back(self, ports, clip, tmp_path, client, port, options):
        server = ["--server", f"localhost:{ports[port]}"]
        output = tmp_path / "out.npy"
        arguments = [*server, *options, "--batch-size", "2", "--seed", "7"]
        result, line = self.run(client, clip, output, *arguments)
        video = read(clip)
        assert result.shape == video.shape
        assert "bytes sent" in line and "received" in line
        # The toy decodes frame 0 of a chunk to means of 8x8 and the light of its seed.
        padded = np.pad(video, [(0, 0), (0, 6), (0, 3), (0, 0)], "edge") / 127.5 - 1
        for chunk in range(3):
            means = padded[9 * chunk].reshape(6, 8, 8, 8, 3).mean((1, 3))
            light = (7 + chunk) / 100 + 1 / 100
            expected = np.clip(np.round((means + light + 1) * 127.5), 0, 255)
            expected = expected.repeat(8, 0).repeat(8, 1)[:42, :61]
            np.testing.assert_allclose(result[9 * chunk], expected, atol=1)

    def test_a_video_file(self, ports, clip, tmp_path):
        output = tmp_path / "out.mp4"
        server = f"localhost:{ports['rest']}"
        result, _ = self.run("rest_client.py", clip, output, "--server", server)
        assert result.shape == (21, 42, 61, 3)
        with VideoReader(output) as reader:
            assert reader.fps == 25

    @pytest.mark.parametrize(
        ("client", "port", "message"),
        [
            ("grpc_client.py", "grpc", "INVALID_ARGUMENT: assertion failed: [At most"),
            ("rest_client.py", "rest", "answered 400: {"),
        ],
    )
    def test_refusals_are_reported(self, ports, clip, tmp_path, client, port, message):
        output = tmp_path / "out.mp4"
        server = f"localhost:{ports[port]}"
        process = run_python(
            EXAMPLES / client, clip, "-o", output, "--server", server, "--steps", 33
        )
        assert process.returncode == 1
        assert message in process.stderr
        assert "Traceback" not in process.stderr
        assert not output.exists()

    def test_measurement(self, model_dir):
        with serve(model_dir, "--enable_serialization_as_tensor_content") as ports:
            process = run_python(
                "-m", "tools.measure_serving", CLIP, "--repeats", 1,
                "--rest", f"http://localhost:{ports['rest']}",
                "--grpc", f"localhost:{ports['grpc']}",
            )  # fmt: skip
        assert process.returncode == 0, process.stderr
        rows = [line.split("|")[1:4] for line in process.stdout.splitlines()[-3:]]
        weights = {
            name.strip(): [int(number.replace(",", "")) for number in numbers]
            for name, *numbers in rows
        }
        video = 9 * 128 * 128 * 3
        assert max(weights["gRPC, raw"]) < 1.01 * video
        assert min(weights["REST, base64"]) > 1.33 * video
        assert max(weights["REST, base64"]) < 1.34 * video
        assert min(weights["REST, numbers"]) > 3 * video


def test_configurations_are_valid():
    script = """
import pathlib, sys
import tests.serving.light_protos
from google.protobuf import text_format
from tests.serving.batching_parameters import BatchingParameters
from tensorflow_serving.config import model_server_config_pb2
folder = pathlib.Path(sys.argv[1])
config = text_format.Parse(
    (folder / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
)
(model,) = config.model_config_list.config
print(model.name, model.base_path, model.model_platform)
print(model.model_version_policy.WhichOneof("policy_choice"))
batching = text_format.Parse(
    (folder / "batching.config").read_text(), BatchingParameters()
)
sizes = list(batching.allowed_batch_sizes)
assert sizes == sorted(sizes) and sizes[-1] == batching.max_batch_size.value
assert batching.num_batch_threads.value >= 1
assert not batching.pad_variable_length_inputs
"""
    process = run_python("-c", script, EXAMPLES)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == ["regen /models/regen tensorflow", "latest"]
