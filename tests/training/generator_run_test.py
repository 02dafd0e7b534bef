import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from keras_regen import Latents
from keras_regen.codec import VideoCodec
from keras_regen.generation import TRANSFORMERS, LatentDiffusion, VideoGenerator
from keras_regen.latents import LatentDataset
from keras_regen.models import preset_metadata
from keras_regen.training import GeneratorConfig, train_generator
from keras_regen.training.generator_config import CHOICES
from keras_regen.training.generator_run import GeneratorRun
from keras_regen.video import VideoReader
from tests.models.conftest import awaken, make_regen
from tests.test_case import random
from tests.text.encoders import LettersEncoder
from tests.training.run_test import history

K, CHUNKS = 4, 2
TEXTS = ("a one", "a two", "a one here")
SETTINGS = dict(
    size="toy",
    chunks=CHUNKS,
    batch_size=4,
    steps=8,
    steps_per_epoch=4,
    precision="float32",
    samples=2,
    sampling_steps=2,
    learning_rate=1e-2,
    workers=0,
)


on_one_backend = pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="checkpoint_test and the run of texts show what depends on the backend",
)


@pytest.fixture(autouse=True)
def toy_transformer(monkeypatch):
    """Adds a transformer named `toy`."""
    toy = {"units": 32, "depth": 1, "num_heads": 2}
    monkeypatch.setitem(TRANSFORMERS, "toy", toy)
    monkeypatch.setitem(CHOICES, "size", (*CHOICES["size"], "toy"))


@pytest.fixture(scope="session")
def codec(tmp_path_factory):
    """Returns the preset of a codec."""
    directory = tmp_path_factory.mktemp("codecs") / "codec"
    keras.utils.set_random_seed(0)
    awaken(make_regen(K)).save_to_preset(directory)
    return directory


@pytest.fixture(scope="session")
def encoder_id(codec):
    from keras_regen import Regen

    return VideoCodec(Regen.from_preset(codec)).encoder_id


@pytest.fixture
def write_latents(tmp_path, codec, encoder_id):
    """Writes the latents of three videos with a text and a label each."""

    def write(name, text=False, label=False, **header):
        directory = tmp_path / name
        directory.mkdir()
        columns = [("text", TEXTS), ("label", "202")]
        columns = [c for c, given in zip(columns, (text, label), strict=True) if given]
        rows = [",".join(["path", *(column for column, _ in columns)])]
        header = {"preset": str(codec), "encoder_id": encoder_id, **header}
        for i in range(3):
            array = 3 + (i + 1) * random(2 * (CHUNKS + i), 2, 3, 8, seed=i)
            frames = (CHUNKS + i) * (K + 1)
            latents = Latents(array, frames, 16, 24, 10.0, K, **header)
            latents.save(directory / f"{i}.h5")
            rows.append(",".join([str(i), *(values[i] for _, values in columns)]))
        (directory / "list.csv").write_text("\n".join(rows) + "\n")
        dataset = LatentDataset(None, directory / "list.csv", directory)
        dataset.write_index()
        if text:
            dataset.embed_texts(LettersEncoder())
        return directory

    return write


def config(data, **settings):
    settings = {**SETTINGS, **settings}
    if "init" in settings:
        del settings["size"]
    return GeneratorConfig(**{"data": str(data), **settings})


def test_a_run_of_texts(write_latents, codec, tmp_path, monkeypatch, capsys):
    data, held_out = write_latents("data", text=True), write_latents("other", text=True)
    settings = config(data, validation=str(held_out), samples=1)
    model = train_generator(settings, tmp_path / "run")
    assert "Condition: text (3 texts)" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "checkpoint.h5",
        "config.toml",
        "history.json",
        "history.png",
        "preset",
        "samples.mp4",
        "tensorboard",
    }
    rows = history(tmp_path / "run")
    assert [row["step"] for row in rows] == [4, 8]
    assert all(row["loss"] > 0 and row["val_loss"] > 0 for row in rows)
    with VideoReader(tmp_path / "run" / "samples.mp4") as reader:
        frames = list(reader)
        assert reader.fps == 10
        assert len(frames) == CHUNKS * (K + 1) and frames[0].shape == (16, 24, 3)

    preset = tmp_path / "run" / "preset"
    index = json.loads((data / "index.json").read_text())
    loaded = LatentDiffusion.from_preset(preset)
    np.testing.assert_allclose(loaded.mean, index["latent_statistics"]["mean"], 1e-6)
    assert loaded.encoder_id == index["encoder_id"] == model.encoder_id
    assert loaded.text_encoder_id == LettersEncoder.encoder_id
    metadata = preset_metadata(preset)
    assert metadata["codec"] == str(codec) and metadata["data"] == ["data"]
    assert metadata["training"][0]["chunks"] == CHUNKS
    # The preset has all that a video needs.
    generator = VideoGenerator.from_preset(preset)
    video = generator.generate("a  TWO", seed=3, num_frames=7)
    assert video.shape == (7, 16, 24, 3) and generator.defaults.num_steps == 2
    assert np.any(video != generator.generate("a one", seed=3, num_frames=7))

    # The same call changes nothing.
    monkeypatch.setattr("keras_regen.training.generator_run.MAX_EMBEDDINGS_BYTES", 0)
    again = train_generator(settings, tmp_path / "run")
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "no embeddings of the 3 texts, which are large" in capsys.readouterr().out
    with pytest.raises(ValueError, match="seed=1, not 0"):
        train_generator(dataclasses.replace(settings, seed=1), tmp_path / "run")


@on_one_backend
def test_a_run_that_is_stopped_goes_on(write_latents, tmp_path):
    settings = config(write_latents("data", label=True), samples=0)
    whole = train_generator(settings, tmp_path / "whole")
    original = keras.callbacks.LambdaCallback

    class Killed(Exception):
        pass

    def kill(epoch, logs):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        # It writes the history, after the checkpoint.
        patch.setattr(
            keras.callbacks, "LambdaCallback", lambda **_: original(on_epoch_end=kill)
        )
        with pytest.raises(Killed):
            train_generator(settings, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "history.json").exists()
    resumed = train_generator(settings, tmp_path / "stopped")
    losses = [
        [row["loss"] for row in history(tmp_path / x)] for x in ("whole", "stopped")
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    # Labels are whole numbers: 0 to 2.
    assert whole.transformer.num_labels == 3
    metadata = preset_metadata(tmp_path / "whole" / "preset")
    assert metadata["generation"]["labels"] == ["0", "1", "2"]
    # As many labels, with other names.
    metadata["generation"]["labels"] = ["a", "b", "c"]
    preset = tmp_path / "whole" / "preset"
    (preset / "metadata.json").write_text(json.dumps(metadata))
    other = config(tmp_path / "data", init=str(preset))
    with pytest.raises(ValueError, match=r"labels=\['0',.*Received: labels=\['a',"):
        train_generator(other, tmp_path / "other")


@on_one_backend
def test_it_starts_from_a_preset(write_latents, codec, tmp_path, capsys):
    # The codec is nowhere, and without labels there is no condition.
    data = write_latents("data", preset="nowhere", encoder_id="another")
    # Two rows and three columns, of which two make whole tokens.
    settings = {"steps": 4, "patch_size": 2}
    train_generator(config(data, **settings), tmp_path / "first")
    assert "the codec of the latents is not here" in capsys.readouterr().out
    assert not (tmp_path / "first" / "samples.mp4").exists()
    frozen = {"learning_rate": 0.0, "ema_momentum": 0.0, "samples": 0, "steps": 4}
    first = LatentDiffusion.from_preset(tmp_path / "first" / "preset")
    defaults = preset_metadata(tmp_path / "first" / "preset")["generation"]
    assert (defaults["height"], defaults["width"]) == (16, 16)
    assert first.transformer.patch_size == 2
    # A preset of any encoder takes that of the data.
    path = tmp_path / "first" / "preset" / "config.json"
    values = json.loads(path.read_text())
    assert values["config"].pop("encoder_id") == "another"
    path.write_text(json.dumps(values))
    settings = {"init": str(tmp_path / "first" / "preset"), "given_share": 0.9}
    second = train_generator(config(data, **settings, **frozen), tmp_path / "second")
    for ours, theirs in zip(
        second.transformer.get_weights(), first.transformer.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert second.encoder_id == "another"
    assert second.given_share == 0.9 and second.transformer.patch_size == 2
    metadata = preset_metadata(tmp_path / "second" / "preset")
    assert [x["given_share"] for x in metadata["training"]] == [0.3, 0.9]
    shutil.rmtree(data)
    labelled = write_latents("data", label=True, encoder_id="another")
    with pytest.raises(ValueError, match="num_labels=3. Received: num_labels=None"):
        train_generator(config(labelled, **settings), tmp_path / "third")


@on_one_backend
def test_validation_has_some_of_the_labels(write_latents, tmp_path):
    """Of another order, and of a video without one."""

    def rename(directory, names, labels):
        path = directory / "index.json"
        index = {**json.loads(path.read_text()), "labels": names}
        for file, label in zip(index["files"], labels, strict=True):
            file.pop("label", None)
            file.update({} if label is None else {"label": label})
        path.write_text(json.dumps(index))

    data, other = (write_latents(name, label=True) for name in ("data", "other"))
    rename(data, ["bus", "car", "tram"], [0, 1, 2])
    rename(other, ["boat", "tram", "car"], [1, None, 2])
    settings = config(data, validation=str(other))
    label = GeneratorRun(settings, tmp_path / "run")._validation["label"]
    # The videos have one, two and three windows.
    tram, none, car = (np.sum(label == number) for number in (2, 3, 1))
    assert tram < none < car and tram + none + car == len(label)
    rename(other, ["boat", "tram", "car"], [1, 0, 2])
    with pytest.raises(ValueError, match=r"'bus', .*Received: \['boat'\], in"):
        _ = GeneratorRun(settings, tmp_path / "run")._validation


@on_one_backend
class TestBadInput:
    def test_a_codec_of_other_latents(self, write_latents, codec, tmp_path):
        data = write_latents("data", encoder_id="another")
        with pytest.raises(ValueError, match="latents of another codec"):
            train_generator(config(data, codec=str(codec)), tmp_path / "run")

    def test_validation_of_another_codec(self, write_latents, tmp_path):
        data = write_latents("data")
        other = write_latents("other", encoder_id="another")
        settings = config(data, validation=str(other), samples=0)
        with pytest.raises(ValueError, match="encoder_id of the data.*: another, in"):
            train_generator(settings, tmp_path / "run")

    def test_shared_chunks(self, write_latents, tmp_path):
        data = write_latents("data")
        index = json.loads((data / "index.json").read_text())
        (data / "index.json").write_text(json.dumps({**index, "chunking": "shared"}))
        with pytest.raises(ValueError, match="Received: chunking=shared"):
            train_generator(config(data), tmp_path / "run")

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"data": ""}, "latents to train on"),
            ({"crop": [8]}, r"Received: crop=\[8\]"),
            ({"crop": [4, 3], "patch_size": 2}, "multiples of `patch_size`"),
            ({"condition": "image"}, "auto, text, label, none. Received: condition="),
            ({"size": "huge"}, "nano, tiny"),
            ({"init": "a", "patch_size": 2}, "its own patch_size.*patch_size=2"),
            ({"chunks": 0}, "`chunks` must be"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            config(**{"data": "latents", **settings})


def test_the_sizes_are_the_transformers():
    assert {*CHOICES["size"]} == {*TRANSFORMERS}
