import dataclasses

import pytest

from keras_regen.training import GeneratorConfig, TrainingConfig
from tests.cli.conftest import assert_user_error


@pytest.mark.parametrize(
    ("command", "config"),
    [("train", TrainingConfig), ("train-generator", GeneratorConfig)],
)
def test_every_setting_is_an_option(run, command, config):
    status, stdout, _ = run(command, "--help")
    assert status == 0
    for field in dataclasses.fields(config):
        assert f"--{field.name.replace('_', '-')} " in stdout
    # What differs from run to run comes first.
    assert stdout.index("--data") < stdout.index("--size") < stdout.index("--steps ")


def test_a_generator(run, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "keras_regen.training.generator_run.train_generator",
        lambda *arguments: seen.append(arguments),
    )
    words = "train-generator", "--data", "latents/", "--size", "tiny", "--chunks", 4
    assert run(*words, "--crop", 2, "--crop", 3, "-o", "run")[0] == 0
    ((config, output, _),) = seen
    assert str(output) == "run"
    assert config == GeneratorConfig(data="latents/", crop=[2, 3])
    assert_user_error(run("train-generator", "-o", "run"), "latents to train on")


def test_a_file_and_options(run, tmp_path, monkeypatch):
    (tmp_path / "c.toml").write_text('data = ["a"]\nsteps = 300\nresolution = [64]\n')
    seen = []
    monkeypatch.setattr(
        "keras_regen.training.codec_run.train",
        lambda *arguments: seen.append(arguments),
    )
    options = ("--steps", 200, "--resolution", 32, "--resolution", 48, "--remat")
    assert run("train", "--config", "c.toml", "-o", "run", *options)[0] == 0
    ((config, output, _),) = seen
    assert str(output) == "run"
    assert config == TrainingConfig(
        data=["a"], steps=200, resolution=[32, 48], remat=True
    )


def test_errors(run, tmp_path, monkeypatch):
    assert_user_error(run("train", "-o", "run"), "videos to train on")
    options = ("--data", "nothing", "--steps", "x")
    assert_user_error(run("train", "-o", "run", *options), "'--steps'")
    options = ("--data", "nothing", "--steps", 150)
    assert_user_error(run("train", "-o", "run", *options), "steps=150")
    # Only what is worth going on from is left.
    assert not (tmp_path / "run").exists()

    def diverge(*arguments):
        raise FloatingPointError("The gradients were not finite")

    monkeypatch.setattr("keras_regen.training.codec_run.train", diverge)
    assert_user_error(run("train", "-o", "run", "--data", "a"), "were not finite")
