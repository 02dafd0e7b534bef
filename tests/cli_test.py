import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_regen
from keras_regen import codec
from keras_regen.cli import main
from keras_regen.data import VideoReader, VideoWriter, bundled_clip
from keras_regen.metrics import psnr, ssim
from tests.models.conftest import awaken, make_regen

K = 4
FRAMES, HEIGHT, WIDTH = 7, 18, 26
METADATA = {
    "description": "A toy",
    "licence": "Apache-2.0",
    "training": {"data": ["clouds", "rain"], "steps": 3, "learning_rate": 1e-3},
    "scores": {
        "clouds": {"chunks": 5, "one_step": {"psnr": 21.23456, "ssim": 0.5}},
        "mean": {"one_step": {"psnr": 20.0, "ssim": 0.25}},
    },
}


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("presets") / "toy"
    awaken(make_regen(K)).save_to_preset(directory, METADATA)
    return directory


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "in.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, 12.5) as writer:
        for _ in range(FRAMES):
            writer.write(rng.integers(0, 256, (HEIGHT, WIDTH, 3), "uint8"))
    return path


@pytest.fixture(autouse=True)
def working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run(capsys):
    """Runs the command line: its status, stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        return caught.value.code or 0, *capsys.readouterr()

    return run


def assert_user_error(result, message):
    status, _, stderr = result
    assert status == 2
    assert message in stderr
    assert stderr.startswith("keras-regen: ")
    assert stderr.count("\n") == 1


class TestReconstruct:
    def test_side_by_side(self, run, preset, video, tmp_path):
        output = tmp_path / "out.mkv"
        options = ("-o", output, "--preset", preset, "--steps", 2, "--seed", 3)
        status, stdout, stderr = run("reconstruct", video, *options)
        assert (status, stderr) == (0, "")
        with VideoReader(video) as reader:
            original = np.stack(list(reader))
        with VideoReader(output) as reader:
            assert reader.fps == 12.5
            both = np.stack(list(reader))
        assert both.shape == (FRAMES, HEIGHT, 2 * WIDTH, 3)
        # As far as H.264 keeps noise.
        error = np.abs(both[:, :, :WIDTH].astype(int) - original).mean()
        assert error < 20
        regen = keras_regen.Regen.from_preset(preset)

        def scores(steps, seed):
            pairs = codec.reconstruct_frames(regen, original, steps, seed)
            video = np.stack([regenerated for _, regenerated in pairs])
            return (
                f"{psnr(original, video).mean():.2f} dB",
                f"{ssim(original, video).mean():.4f}",
            )

        assert f"Backend: {keras.config.backend()}" in stdout
        assert f"{FRAMES}/{FRAMES} frames" in stdout
        assert all(score in stdout for score in scores(2, 3))
        assert not all(score in stdout for score in scores(1, 3))
        assert not all(score in stdout for score in scores(2, 0))
        latents, pixels = 2 * (2 * 3 * 4 * 8), FRAMES * HEIGHT * WIDTH * 3
        size = f"{latents:,} latent values for {pixels:,} pixel values, 1 : "
        assert size + f"{pixels / latents:.1f}" in stdout
        assert str(output) in stdout

    def test_without_arguments(self, run, preset, tmp_path, monkeypatch):
        presets = tmp_path / "presets"
        shutil.copytree(preset, presets / "regen_tiny_8x8x8")
        monkeypatch.setattr("keras_regen.models.presets.BUNDLED", presets)
        status, stdout, _ = run("reconstruct")
        assert status == 0
        assert "bunny_regen.mp4" in stdout
        with VideoReader(tmp_path / "bunny_regen.mp4") as reader:
            assert (reader.num_frames, reader.fps) == (60, 25)
            assert (reader.height, reader.width) == (128, 2 * 228)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nothing.mp4"], "there is no such file. Received: path=nothing.mp4"),
            (["."], "it is a directory"),
            (["notes.txt"], "it is a text file"),
            (["in.mp4", "-o", "out.avi"], ".gif, .mkv, .mp4. Received: path=out.avi"),
            (["in.mp4", "-o", "nowhere/out.mp4"], "Received: path=nowhere/out.mp4"),
            (["in.mp4", "-o", "./in.mp4"], "OUT must not be IN"),
            (["in.mp4", "--preset", "nonsense"], "Received: 'nonsense'"),
            (["in.mp4", "--preset", "broken"], "broken/config.json is not the config"),
            (["in.mp4", "--preset", "other"], "other is not one that keras-regen"),
            (["in.mp4", "--steps", "0"], "'--steps'"),
            (["in.mp4", "--steps", "many"], "'--steps'"),
            (["in.mp4", "--seed", "-1"], "'--seed'"),
            (["in.mp4", "--nonsense"], "--nonsense"),
            (["in.mp4", "in.mp4"], "unexpected extra argument"),
        ],
    )
    def test_errors_leave_nothing(
        self, run, preset, video, tmp_path, arguments, message
    ):
        (tmp_path / "notes.txt").write_text("not a video\n" * 100)
        shutil.copytree(preset, tmp_path / "broken")
        (tmp_path / "broken" / "config.json").write_text("{")
        # As an older or newer version would have written it.
        shutil.copytree(preset, tmp_path / "other")
        path = tmp_path / "other" / "config.json"
        config = json.loads(path.read_text())
        config["class_name"], config["registered_name"] = "Gen", "keras_regen>Gen"
        path.write_text(json.dumps(config))
        before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
        assert_user_error(run("reconstruct", *arguments), message)
        assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before

    def test_damaged_video_leaves_nothing(self, run, preset, tmp_path):
        data = bundled_clip().read_bytes()
        (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
        result = run("reconstruct", "half.mp4", "--preset", preset)
        assert_user_error(result, "it is damaged at frame")
        assert os.listdir() == ["half.mp4"]

    def test_control_c(self, run, preset, video, monkeypatch):
        def interrupted(regen, frames, steps, seed):
            frame = next(iter(frames))
            yield frame, frame
            raise KeyboardInterrupt

        monkeypatch.setattr(codec, "reconstruct_frames", interrupted)
        status, _, stderr = run("reconstruct", video, "--preset", preset)
        assert (status, stderr) == (130, "")
        assert os.listdir() == ["in.mp4"]


class TestInfo:
    def test_overview(self, run, preset, tmp_path, monkeypatch):
        shutil.copytree(preset, tmp_path / "presets" / "a_toy_preset")
        monkeypatch.setattr("keras_regen.models.presets.BUNDLED", tmp_path / "presets")
        status, stdout, stderr = run("info")
        assert (status, stderr) == (0, "")
        assert "a_toy_preset" in stdout and "A toy" in stdout
        for name in ("tiny", "small", "base", "paper"):
            assert f" {name} " in stdout
        assert "units 2048" in stdout

    def test_preset(self, run, preset):
        status, stdout, stderr = run("info", preset)
        assert (status, stderr) == (0, "")
        regen = make_regen(K)
        words = " ".join(stdout.split())
        for text in (
            f"temporal compression, k {K}",
            "latent channels 8",
            f"encoder parameters {regen.encoder.count_params():,}",
            f"decoder parameters {regen.decoder.count_params():,}",
            type(regen.diffusion_path).__name__,
            type(regen.weighting).__name__,
            "licence Apache-2.0",
            "data clouds, rain, steps 3, learning rate 0.001",
            "Scores: psnr, ssim",
            "clouds 5 21.23, 0.5",
            "mean 20, 0.25",
        ):
            assert text in words

    def test_preset_without_metadata(self, run, tmp_path):
        make_regen(K).save_to_preset(tmp_path / "bare")
        status, stdout, _ = run("info", "bare")
        assert status == 0
        assert "Metadata" not in stdout and "Scores" not in stdout

    def test_unknown_preset(self, run):
        assert_user_error(run("info", "nonsense"), "Received: 'nonsense'")


class TestProgram:
    def test_version(self, run):
        assert run("--version") == (0, f"keras-regen {keras_regen.__version__}\n", "")

    @pytest.mark.parametrize("arguments", [[], ["--help"]])
    def test_help(self, run, arguments):
        status, stdout, stderr = run(*arguments)
        assert (status, stderr) == (0, "")
        assert "reconstruct" in stdout and "info" in stdout

    def test_unknown_command(self, run):
        assert_user_error(run("nonsense"), "nonsense")

    def test_in_a_process_of_its_own(self, preset, video):
        result = self._process("reconstruct", video, "--preset", preset)
        # Not even TensorFlow says anything.
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(f"Backend: {keras.config.backend()}\n")
        with VideoReader("in_regen.mp4") as reader:
            assert reader.width == 2 * WIDTH

    def test_unknown_backend(self, video):
        result = self._process("reconstruct", video, KERAS_BACKEND="theano")
        assert_user_error(
            (result.returncode, result.stdout, result.stderr),
            "Received: KERAS_BACKEND=theano",
        )
        assert os.listdir() == ["in.mp4"]

    def _process(self, *arguments, **variables):
        root = os.path.dirname(os.path.dirname(keras_regen.__file__))
        variables = {"KERAS_BACKEND": keras.config.backend(), **variables}
        return subprocess.run(
            [sys.executable, "-m", "keras_regen.cli", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": root, **variables},
            capture_output=True,
            text=True,
        )
