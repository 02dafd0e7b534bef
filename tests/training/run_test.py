import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_regen
from keras_regen import ConvAutoencoder, Regen
from keras_regen.models import load_model, preset_metadata
from keras_regen.training import TrainingConfig, train, untrained_model
from keras_regen.training.progress import Progress
from keras_regen.training.run import _set_seed
from keras_regen.video import VideoReader

SETTINGS = dict(
    size="toy",
    temporal_compression=4,
    resolution=[16, 24],
    batch_size=4,
    image_share=0.2,
    margin=1,
    steps=12,
    steps_per_epoch=4,
    precision="float32",
    samples=2,
)


# One shape, so one program is compiled.
ONE_SHAPE = {"resolution": [16], "image_share": 0.0}


def config(folder, **settings):
    settings = {"data": [str(folder)], **SETTINGS, **settings}
    if "init" in settings:
        del settings["size"]
    return TrainingConfig(**settings)


def history(run):
    return json.loads((run / "history.json").read_text())


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """Returns the directory and the model of a complete run."""
    with pytest.MonkeyPatch.context() as patch:
        from tests.training.conftest import ARCHITECTURES, CHOICES, TOY

        patch.setitem(ARCHITECTURES, "toy", TOY)
        patch.setitem(CHOICES, "size", ("toy",))
        directory = tmp_path_factory.mktemp("runs") / "whole"
        return directory, train(config(folder, validation=[str(folder)]), directory)


def test_files_of_a_run(run, folder):
    directory, _ = run
    assert {p.name for p in directory.iterdir()} == {
        "checkpoint.h5",
        "config.toml",
        "history.json",
        "history.png",
        "preset",
        "samples.mp4",
        "tensorboard",
    }
    rows = history(directory)
    assert [row["step"] for row in rows] == [4, 8, 12]
    assert rows[-1]["learning_rate"] < rows[0]["learning_rate"]
    assert all(row["loss"] > 0 and row["psnr"] > 0 for row in rows)
    recorded = TrainingConfig.load(directory / "config.toml")
    assert recorded == config(folder, validation=[str(folder)])
    with VideoReader(directory / "samples.mp4") as reader:
        frames = list(reader)
        assert len(frames) == 2 * 5 and frames[0].shape == (16, 32, 3)


def test_the_preset(run, folder):
    directory, regen = run
    preset = Regen.from_preset(directory / "preset")
    clip = np.zeros((1, 5, 16, 16, 3), "uint8")
    np.testing.assert_array_equal(preset.reconstruct(clip), regen.reconstruct(clip))
    metadata = preset_metadata(directory / "preset")
    assert metadata["data"] == [folder.name]
    (sitting,) = metadata["training"]
    assert sitting["steps"] == 12 and sitting["backend"] == keras.backend.backend()
    statistics = metadata["latent_statistics"]
    assert statistics["chunks"] == 48
    assert np.shape(statistics["mean"]) == np.shape(statistics["std"]) == (2, 8)
    assert np.all(np.array(statistics["std"]) > 0)


def test_a_finished_run_does_not_change(run, folder):
    directory, regen = run
    again = train(config(folder, validation=[str(folder)]), directory)
    for ours, theirs in zip(again.get_weights(), regen.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(history(directory)) == 3


def test_missing_extras(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_regen.training.run.EXTRAS", ("numpy", "no_such_thing"))
    with pytest.raises(ImportError, match=r"no_such_thing: pip .*keras-regen\[train\]"):
        train(config(folder), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_fails_ends_its_progress_bar(folder, tmp_path, monkeypatch):
    stopped = []
    monkeypatch.setattr(Progress, "stop", lambda self: stopped.append(self))
    monkeypatch.setattr(Progress, "on_epoch_begin", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(config(folder, **ONE_SHAPE, samples=0), tmp_path / "run")
    assert len(stopped) == 1


def test_other_settings_are_refused(run, folder):
    with pytest.raises(ValueError, match="seed=1, not 0"):
        train(config(folder, seed=1, validation=[str(folder)]), run[0])


def test_the_second_stage_leaves_the_encoder(run, folder, tmp_path):
    directory, _ = run
    settings = {
        "init": str(directory / "preset"),
        "decoder_only": True,
        "temporal_compression": 0,
        "seed": 7,
    }
    settings = {**settings, "resolution": [32], "image_share": 0.0, "steps": 4}
    regen = train(config(folder, **settings), tmp_path / "second")
    first = Regen.from_preset(directory / "preset")
    assert regen.encoder.fingerprint() == first.encoder.fingerprint()
    changed = [
        np.any(a != b)
        for a, b in zip(
            regen.decoder.get_weights(), first.decoder.get_weights(), strict=True
        )
    ]
    assert any(changed)
    earlier, second = preset_metadata(tmp_path / "second" / "preset")["training"]
    assert earlier["size"] == "toy" and "size" not in second
    assert second["decoder_only"] and second["seed"] == 7
    loaded = Regen.from_preset(tmp_path / "second" / "preset")
    assert loaded.seed == 7 and loaded.encoder.trainable
    settings["temporal_compression"] = 8
    with pytest.raises(ValueError, match="whose k is 4. Received: .*compression=8"):
        train(config(folder, **settings), tmp_path / "third")


def test_the_seed_of_a_run_is_that_of_every_layer():
    regen = untrained_model(config("a", regularization="kl"))
    states = {}
    for seed in (0, 2**31 - 1):
        _set_seed(regen, seed)
        assert regen.seed == seed
        found = [
            keras.ops.convert_to_numpy(part.seed_generator.state).tolist()
            for part in (regen, regen.encoder.get_layer("variational"))
        ]
        states[seed] = found
    assert states == {0: [[0, 0], [1, 0]], 2**31 - 1: [[2**31 - 1, 0], [0, 0]]}


@pytest.mark.parametrize("mistake", [{"data": ["nofile.mp4"]}, {"init": "nosuch"}])
def test_other_settings_are_taken_before_the_first_checkpoint(
    mistake, folder, tmp_path
):
    settings = {**ONE_SHAPE, "steps": 4, "samples": 0}
    right = config(folder, **settings)
    with pytest.raises(ValueError, match="nofile.mp4|nosuch"):
        train(config(folder, **settings, **mistake), tmp_path / "run")
    recorded = tmp_path / "run" / "config.toml"
    recorded.write_text("broken")
    train(right, tmp_path / "run")
    assert TrainingConfig.load(recorded) == right
    recorded.write_text("broken")
    with pytest.raises(ValueError, match="cannot resume.*/run, and Cannot read.*toml"):
        train(right, tmp_path / "run")


@pytest.mark.parametrize("decoder", ["conv", "in_context"])
def test_other_decoders(decoder, folder, tmp_path):
    settings = {**ONE_SHAPE, "decoder": decoder, "margin": 0, "steps": 4, "samples": 1}
    trained = train(config(folder, **settings), tmp_path / "run")
    preset = load_model(tmp_path / "run" / "preset")
    assert type(preset) is (ConvAutoencoder if decoder == "conv" else Regen)
    assert decoder == "conv" or preset.decoder.conditioning == "in_context"
    clip = np.full((1, 5, 16, 16, 3), 90, "uint8")
    np.testing.assert_array_equal(preset.reconstruct(clip), trained.reconstruct(clip))
    (row,) = history(tmp_path / "run")
    assert row["psnr"] > 0
    if decoder == "conv":
        again = config(folder, **ONE_SHAPE, init=str(tmp_path / "run" / "preset"))
        with pytest.raises(ValueError, match="`margin` must be 0.*preset, margin=1"):
            train(again, tmp_path / "again")
    # Only a diffusion model has a loss at each diffusion time.
    assert ("loss_at_0.94" in row) == (decoder == "in_context")


def test_a_run_starts_from_a_preset_of_another_k(run, folder, tmp_path, capsys):
    directory, _ = run
    settings = {
        **ONE_SHAPE,
        "init": str(directory / "preset"),
        "temporal_compression": 8,
    }
    # A learning rate of 0 leaves the weights unchanged.
    frozen = {"learning_rate": 0.0, "steps": 4, "samples": 0, "ema_momentum": 0.0}
    regen = train(config(folder, **settings, **frozen), tmp_path / "second")
    assert "% of the weights are from" in capsys.readouterr().out
    assert regen.temporal_compression == 8
    first = Regen.from_preset(directory / "preset")
    clip = np.random.default_rng(0).integers(0, 256, (1, 9, 16, 16, 3), "uint8")
    np.testing.assert_allclose(
        regen.encode(clip)[:, 0], first.encode(clip[:, :5])[:, 0], atol=1e-5
    )
    assert len(preset_metadata(tmp_path / "second" / "preset")["training"]) == 2


def test_options_of_the_optimisation(folder, tmp_path):
    # On PyTorch Keras has no `steps_per_execution`.
    steps_per_execution = 1 if keras.backend.backend() == "torch" else 2
    regen = train(
        config(
            folder,
            **ONE_SHAPE,
            accumulation=2,
            steps_per_execution=steps_per_execution,
            remat=True,
            precision="mixed_float16",
            regularization="layer_norm",
            stride=[1, 2],
            ema_momentum=0.0,
            samples=0,
            steps=4,
        ),
        tmp_path / "run",
    )
    optimizer = regen.optimizer.inner_optimizer
    assert optimizer.gradient_accumulation_steps == 2 and not optimizer.use_ema
    assert regen.steps_per_execution == steps_per_execution
    assert regen.decoder.remat and regen.encoder.regularization == "layer_norm"
    assert float(regen.optimizer.dynamic_scale) > 1
    assert all(np.all(np.isfinite(w)) for w in regen.get_weights())
    assert "psnr" not in history(tmp_path / "run")[0]


WORKER = """
import sys
from keras_regen.models import ARCHITECTURES
from tests.training.conftest import CHOICES, TOY
ARCHITECTURES["toy"] = TOY
CHOICES["size"] = ("toy",)
from keras_regen.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="checkpoint_test shows on every backend that a resumed run is equal",
)
class TestKilled:
    def command(self, folder, run):
        options = {"data": folder, "output": run, "seed": 5, **SETTINGS, "samples": 0}
        del options["image_share"], options["resolution"]
        words = ["train", "--resolution", "16"]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        root = pathlib.Path(keras_regen.__file__).parents[1]
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, *words],
            cwd=root,
            env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_the_same_command_resumes(self, folder, tmp_path):
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        process = self.command(folder, whole)
        stdout, stderr = process.communicate()
        assert process.returncode == 0, stderr
        assert stdout.count("samples/s") == 3 and "step 12/12, loss" in stdout
        assert stdout.startswith(f"Backend: {keras.backend.backend()}, on ")

        process = self.command(folder, killed)
        while not (killed / "history.json").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done = len(history(killed))
        process = self.command(folder, killed)
        stdout, stderr = process.communicate()
        assert process.returncode == 0, stderr
        assert stdout.count("samples/s") == 3 - done
        rows = [[row["loss"] for row in history(run)] for run in (whole, killed)]
        np.testing.assert_allclose(rows[1], rows[0], rtol=1e-6)
        models = [Regen.from_preset(run / "preset") for run in (whole, killed)]
        for a, b in zip(*(m.get_weights() for m in models), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
