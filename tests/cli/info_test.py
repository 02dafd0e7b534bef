import re
import shutil

from tests.cli.conftest import K, assert_user_error
from tests.generation.conftest import make_generator
from tests.models.conftest import make_regen
from tests.models.conv_autoencoder_test import make_model


class TestInfo:
    def test_overview(self, run, preset, tmp_path, monkeypatch):
        shutil.copytree(preset, tmp_path / "presets" / "a_toy_preset")
        monkeypatch.setattr("keras_regen.bundled.PRESETS", tmp_path / "presets")
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

    def test_a_conventional_decoder(self, run, tmp_path):
        make_model().save_to_preset(tmp_path / "conv", {"description": "Another toy"})
        status, stdout, stderr = run("info", "conv")
        assert (status, stderr) == (0, "")
        assert "Another toy" in stdout and "widths" in stdout
        assert "prediction" not in stdout

    def test_a_generator(self, run, generator, tmp_path, monkeypatch):
        words = " ".join(run("info", generator)[1].split())
        parameters = make_generator().transformer.count_params()
        for text in (
            "temporal compression, k 4",
            f"transformer parameters {parameters:,}",
            "num labels 2",
            "prediction Velocity",
            "codec regen_small_8x8x8",
        ):
            assert text in words
        monkeypatch.setattr("keras_regen.bundled.PRESETS", generator.parent)
        status, stdout, _ = run("info")
        assert status == 0
        assert "Bundled generators" in stdout and "Bundled presets" not in stdout
        assert "A toy that generates" in stdout

    def test_no_word_is_broken(self, run, monkeypatch):
        wide = run("info", "regen_small_8x8x8")[1].split()
        monkeypatch.setenv("COLUMNS", "80")
        status, stdout, _ = run("info", "regen_small_8x8x8")
        assert status == 0
        assert max(map(len, stdout.splitlines())) <= 80
        # Only the hash is longer than its column.
        (digest,) = (word for word in wide if re.fullmatch("[0-9a-f]{64}", word))
        assert digest in re.sub(r"\s+", "", stdout)
        assert set(wide) - set(stdout.split()) - set("─" * n for n in range(200)) == {
            digest
        }

    def test_unknown_preset(self, run):
        assert_user_error(run("info", "nonsense"), "Received: 'nonsense'")
        assert_user_error(run("info", "a.keras"), "Received: 'a.keras'")
        assert_user_error(run("info", "a.h5"), "there is no such file. Received: path")
