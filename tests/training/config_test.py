import dataclasses
import os

import pytest

from keras_regen.models import ARCHITECTURES
from keras_regen.training import TrainingConfig
from keras_regen.training.codec_config import CHOICES


def test_save_and_load(tmp_path):
    config = TrainingConfig(
        data=["a", "b"], resolution=[64, 96], steps=200, remat=True, learning_rate=3e-4
    )
    config.save(tmp_path / "config.toml")
    assert TrainingConfig.load(tmp_path / "config.toml") == config
    # The file has every setting, also those at their defaults.
    text = (tmp_path / "config.toml").read_text()
    assert all(f"{f.name} = " in text for f in dataclasses.fields(TrainingConfig))


def test_overrides(tmp_path):
    (tmp_path / "c.toml").write_text('data = ["a"]\nsteps = 300\nlearning_rate = 1\n')
    config = TrainingConfig.load(tmp_path / "c.toml", steps=400)
    assert (config.steps, config.learning_rate, config.data) == (400, 1.0, ["a"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = 'many'", "`steps` must be a whole number.*'many'"),
        ("resolution = [1.5]", "whole number from 8 to 8192. Received: resolution=1.5"),
        ("resolution = 96", "`resolution` must be a list. Received: resolution=96"),
        ("data = [1]", "of type str. Received: data=1"),
        (f"data = {3000 * '['}{3000 * ']'}", "Cannot read the configuration"),
        ("remat = 1", "of type bool"),
        ("stepps = 1", "Received: stepps"),
        ("steps =", "Cannot read the configuration"),
    ],
)
def test_bad_files(tmp_path, text, message):
    data = "" if text.startswith("data") else 'data = ["a"]\n'
    (tmp_path / "c.toml").write_text(f"{data}{text}\n")
    with pytest.raises(ValueError, match=message):
        TrainingConfig.load(tmp_path / "c.toml")


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="No such file.*nothing.toml"):
        TrainingConfig.load(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": []}, "videos to train on"),
        ({"regularization": "l2"}, "none, layer_norm, kl.*regularization=l2"),
        ({"decoder": "gan"}, "dit, in_context, conv.*decoder=gan"),
        (
            {"init": "a", "size": "small", "regularization": "kl"},
            "its own size, regularization, .*: init=a, size=small, regularization=kl",
        ),
        ({"decoder_only": True}, "`decoder_only` needs `init`"),
        ({"decoder": "conv"}, "`margin` must be 0. Received: decoder=conv, margin=2"),
        ({"precision": "float64"}, "precision=float64"),
        ({"batch_size": 0}, "from 1 to 65536. Received: batch_size=0"),
        ({"image_share": 1.5}, "from 0 to 1. Received: image_share=1.5"),
        ({"steps": 150}, "multiple of `steps_per_epoch`.*steps=150"),
        ({"accumulation": 3}, "multiple of `accumulation`"),
        ({"steps_per_execution": 7}, "multiple of `steps_per_execution`"),
        ({"resolution": []}, "resolution"),
        ({"resolution": [60]}, "multiples of 8.*60"),
        ({"stride": [0]}, "from 1 to 10000. Received: stride=0"),
        ({"temporal_compression": 3}, "2, 4, 8.*Received: temporal_compression=3"),
        ({"size": "huge"}, "tiny, small, base, paper.*Received: size=huge"),
        ({"learning_rate": float("inf")}, "finite number.*learning_rate=inf"),
        ({"zoom": float("nan")}, "finite number.*zoom=nan"),
        ({"seed": 1.5}, "whole number.*seed=1.5"),
        ({"workers": True}, "whole number.*workers=True"),
        ({"remat": 1}, "of type bool. Received: remat=1"),
        ({"cache": "much"}, "`cache` must be an amount of memory.*'much'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{"data": ["a"], **settings})


def test_a_short_run_is_one_epoch():
    assert TrainingConfig(data=["a"], steps=3).steps_per_epoch == 3


def test_settings_that_may_change_when_resuming():
    config = TrainingConfig(data=["a"])
    dataclasses.replace(config, workers=7).check_continues(config)
    with pytest.raises(ValueError, match="`init`.*: steps=200, not 10000"):
        dataclasses.replace(config, steps=200).check_continues(config)


def test_a_preset_has_its_own_model():
    config = TrainingConfig(data=["a"])
    assert (config.size, config.temporal_compression) == ("tiny", 8)
    config = TrainingConfig(data=["a"], init="preset", temporal_compression=16)
    assert config.left_to_preset == ["size", "decoder", "regularization"]


def test_the_file_of_a_run_is_that_of_one_from_its_preset(tmp_path):
    path = tmp_path / "config.toml"
    TrainingConfig(data=["a"], temporal_compression=16, steps=200).save(path)
    config = TrainingConfig.load(path, init="preset")
    assert config.left_to_preset == ["size", "decoder", "regularization"]
    assert (config.temporal_compression, config.steps) == (16, 200)
    with pytest.raises(ValueError, match="its own size, .*init=preset, size=small"):
        TrainingConfig.load(path, init="preset", size="small")


def test_the_sizes_are_the_architectures():
    assert {*CHOICES["size"], "toy"} == {*ARCHITECTURES, "toy"}


def test_a_file_without_end(tmp_path):
    path = tmp_path / "c.toml"
    path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"it is not a file.*path=.*c\.toml"):
        TrainingConfig.load(path)
    path.unlink()
    path.touch()
    os.truncate(path, 10**12)
    with pytest.raises(ValueError, match=r"it has 10+ bytes, more than.*c\.toml"):
        TrainingConfig.load(path)
