import os

import keras
import numpy as np
import pytest

from keras_regen import Regen
from keras_regen.generation import VideoGenerator
from keras_regen.hardware import device
from tests.cli.conftest import K, assert_user_error
from tests.models.conv_autoencoder_test import make_model
from tests.serving.toy_requests import needs_tensorflow_serving

tf = pytest.importorskip("tensorflow")


class TestExport:
    @needs_tensorflow_serving
    def test_saved_model(self, run, preset):
        status, stdout, stderr = run(
            *("export", preset, "-o", "serving/1", "--weights", "int8"),
            *("--max-steps", 2, "--warmup", "8x16", "--warmup", "8x8"),
        )
        assert (status, stderr) == (0, "")
        assert f"Backend: {keras.config.backend()}, on {device()}\n" in stdout
        assert "saved_model.pb" in stdout and "bytes" in stdout
        assert os.listdir("serving") == ["1"]
        served = tf.saved_model.load("serving/1")
        video = np.zeros((1, K + 1, 8, 8, 3), "float32")
        expected = Regen.from_preset(preset).encode(video)
        np.testing.assert_allclose(served.encode(video), expected, atol=1e-5)
        with pytest.raises(tf.errors.InvalidArgumentError, match="1 to 2"):
            served.reconstruct(video, 0, 3)
        path = "serving/1/assets.extra/tf_serving_warmup_requests"
        assert len([*tf.data.TFRecordDataset(path)]) == 20

    @pytest.mark.parametrize(
        ("sizes", "warmup"), [(["none"], []), (["16x8", "8"], [(8, 16), (8, 8)])]
    )
    def test_warmup(self, run, preset, monkeypatch, sizes, warmup):
        seen = []
        monkeypatch.setattr(Regen, "export", lambda *_, **options: seen.append(options))
        words = [word for size in sizes for word in ("--warmup", size)]
        status, _, _ = run("export", preset, "-o", "1", *words)
        assert status == 0
        assert seen == [{"warmup": warmup, "schedule": "log_snr"}]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nowhere", "-o", "1"], "nowhere"),
            (["regen_small_8x8x8"], "--output"),
            (["regen_small_8x8x8", "-o", "1", "--format", "tflite"], "tflite"),
            (["regen_small_8x8x8", "-o", "1", "--warmup", "big"], "WIDTHxHEIGHT"),
            (["regen_small_8x8x8", "-o", "1", "--steps", "2"], "num_steps"),
            (["regen_small_8x8x8", "-o", "1", "--max-steps", "0"], "max_steps"),
            (["regen_small_8x8x8", "-o", "1", "--frames", "9"], "for generators"),
        ],
    )
    def test_errors(self, run, arguments, message):
        assert_user_error(run("export", *arguments), message)
        assert not os.listdir()

    def test_a_conventional_decoder(self, run):
        make_model().save_to_preset("conv")
        assert_user_error(run("export", "conv", "-o", "1"), "conventional decoder")


class TestExportOfGenerators:
    def test_options(self, run, generator, preset, monkeypatch):
        seen = []
        monkeypatch.setattr(
            VideoGenerator,
            "export",
            lambda self, path, **options: seen.append((str(path), options)),
        )
        words = "export", generator, "-o", "1", "--codec", preset
        status, stdout, _ = run(*words, "--steps", 3, "--weights", "int8")
        assert status == 0 and "1" in stdout
        words = *words, "--warmup", "none"
        run(*words, "--frames", 9, "--size", "16x24", "--max-pixels", 9999)
        fixed = {"num_frames": 9, "height": 24, "width": 16, "max_pixels": 9999}
        fixed["warmup"] = False
        assert seen == [("1", {"num_steps": 3, "weights": "int8"}), ("1", fixed)]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--warmup", "16x8"], "Received: --warmup 16x8"),
            (["--max-steps", "2"], "Received: --max-steps"),
            (["--format", "torch"], "Received: --format torch"),
        ],
    )
    def test_errors(self, run, generator, options, message):
        pytest.importorskip("torch")
        assert_user_error(run("export", generator, "-o", "1", *options), message)
        assert not os.listdir()
