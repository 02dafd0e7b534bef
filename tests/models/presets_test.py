import json
import resource
import sys

import h5py
import keras
import numpy as np
import pytest

from keras_regen import bundled
from keras_regen.diffusion import CosinePath
from keras_regen.models import (
    DiTDecoder,
    Regen,
    VideoEncoder,
    bundled_presets,
    preset_card,
    preset_directory,
    preset_metadata,
    presets,
    save_preset,
)
from keras_regen.models.model_card import model_card
from keras_regen.models.weights_file import MIN_ROUNDED_SIZE
from keras_regen.text import TextEmbeddings
from keras_regen.weights_digest import file_sha256
from tests.models.conftest import awaken, make_regen
from tests.test_case import random

DEEP = 100_000 * "[" + 100_000 * "]"


@keras.saving.register_keras_serializable(package="tests")
class Halfway(CosinePath):
    """A path of a user's own, which counts how often it is made."""

    made = 0

    def __init__(self):
        super().__init__()
        type(self).made += 1


def forget_digest(preset):
    (preset / "metadata.json").unlink()


def embeddings(text):
    return TextEmbeddings([text], np.ones((1, 2)), [1], "an encoder")


@pytest.fixture
def preset(regen, tmp_path):
    awaken(regen).save_to_preset(tmp_path / "preset", {"licence": "CC0"})
    return tmp_path / "preset"


@pytest.mark.parametrize("method", ["fit", "train_on_batch", "load_weights"])
def test_other_weights_leave_the_preset(preset, method):
    regen = Regen.from_preset(preset)
    assert regen.preset == str(preset)
    # What changes the weights is not called to its end.
    with pytest.raises((TypeError, ValueError)):
        getattr(regen, method)()
    assert regen.preset is None


def test_loading_draws_no_random_kernels(preset, monkeypatch):
    def draw(self, shape, dtype=None):
        raise AssertionError("a kernel was drawn and not read")

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", draw)
    Regen.from_preset(preset)


@pytest.mark.parametrize("name", bundled_presets())
def test_the_parts_of_bundled_presets_are_named_after_what_they_are(name):
    config = json.loads((preset_directory(name) / "config.json").read_text())["config"]
    parts = {part: config[part]["config"]["name"] for part in ("encoder", "decoder")}
    assert parts == {"encoder": "encoder", "decoder": "decoder"}


def test_round_trip(regen, preset):
    assert sorted(p.name for p in preset.iterdir()) == [
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]
    loaded = Regen.from_preset(str(preset))
    video = random(1, 5, 16, 16, 3)
    np.testing.assert_array_equal(loaded.reconstruct(video), regen.reconstruct(video))
    metadata = preset_metadata(preset)
    assert metadata.pop("weights_sha256") == file_sha256(preset / "model.weights.h5")
    assert metadata == {"licence": "CC0"}


@pytest.mark.parametrize("texts", [None, embeddings("a new one")])
def test_a_save_that_was_killed_is_finished_by_the_next_load(
    regen, preset, monkeypatch, texts
):
    save_preset(regen, preset, texts=embeddings("an old one"))
    with monkeypatch.context() as patch:
        patch.setattr(presets, "_finish_save", lambda directory: None)
        save_preset(make_regen(seed=7), preset, texts=texts)
    # Killed after the first of its files was moved.
    (preset / ".saved" / "model.weights.h5").replace(preset / "model.weights.h5")
    assert Regen.from_preset(preset).seed == 7
    assert not (preset / ".saved").exists()
    assert (preset / "text.h5").exists() == bool(texts)
    if texts:
        assert TextEmbeddings.load(preset / "text.h5").texts == texts.texts


def test_half_precision_halves_the_file(regen, preset, tmp_path):
    # HDF5's own conversion makes 0.125 of what is just below 0.25.
    kernel = regen.encoder.get_layer("stem").kernel
    kernel.assign(np.full(kernel.shape, 0.2499749, "float32"))
    regen.save_to_preset(tmp_path / "half", dtype="float16")
    sizes = []
    for directory in (preset, tmp_path / "half"):
        with h5py.File(directory / "model.weights.h5") as file:
            total = []
            file.visititems(
                lambda _, item, total=total: (
                    total.append(item.nbytes)
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
            sizes.append(sum(total))
    # The state of the seed generator is not a float.
    assert sizes[1] < 0.51 * sizes[0]
    loaded = Regen.from_preset(tmp_path / "half")
    assert all(v.dtype == "float32" for v in loaded.trainable_variables)
    for ours, theirs in zip(loaded.get_weights(), regen.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-7)


def test_whole_numbers_quarter_the_file(tmp_path):
    # Wide enough for kernels that are worth a scale for each channel.
    regen = awaken(make_regen(encoder={"widths": (64,)}, decoder={"units": 64}))
    paths = {dtype: tmp_path / dtype for dtype in ("float32", "int8")}
    for dtype, path in paths.items():
        regen.save_to_preset(path, dtype=dtype)
    sizes = [(path / "model.weights.h5").stat().st_size for path in paths.values()]
    assert sizes[1] < 0.4 * sizes[0]
    loaded = Regen.from_preset(paths["int8"])
    for ours, theirs in zip(loaded.weights, regen.weights, strict=True):
        ours, theirs = ours.numpy(), theirs.numpy()
        # Half of a step, of which 127 reach the largest value of a channel.
        bound = np.abs(theirs).max(axis=tuple(range(theirs.ndim - 1)), initial=0) / 253
        if theirs.ndim < 2 or theirs.size < MIN_ROUNDED_SIZE:
            bound = 1e-3 * np.abs(theirs) + 1e-7
        assert np.all(np.abs(ours - theirs) <= bound)
    video = random(1, 5, 16, 16, 3)
    difference = loaded.reconstruct(video) - regen.reconstruct(video)
    assert 0 < np.sqrt(np.mean(np.square(difference))) < 0.02


def test_the_siren_stays_in_floats(tmp_path):
    regen = awaken(make_regen(decoder={"siren_features": 64}))
    regen.save_to_preset(tmp_path, dtype="int8")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        dtypes = {}
        file.visititems(
            lambda name, item: dtypes.update({name: getattr(item, "dtype", None)})
        )
    siren = [dtypes[name] for name in dtypes if "siren" in name and dtypes[name]]
    assert len(siren) > 4 and all(dtype == "float16" for dtype in siren)


def test_runs_under_the_policy_asked_for(preset):
    loaded = Regen.from_preset(preset, dtype="mixed_bfloat16")
    assert loaded.compute_dtype == "bfloat16"
    assert loaded.encoder.get_layer("stem").compute_dtype == "bfloat16"
    assert loaded.decoder.get_layer("block_0").compute_dtype == "bfloat16"
    assert (
        Regen.from_preset(preset).encoder.get_layer("stem").compute_dtype == "float32"
    )


def test_a_preset_remembers_no_optimiser(regen, tmp_path):
    regen.compile(optimizer="adam")
    regen.save_to_preset(tmp_path)
    assert "compile_config" not in json.loads((tmp_path / "config.json").read_text())


class TestClasses:
    """A configuration names only what presets are made of, or what the caller gives."""

    @pytest.mark.parametrize(
        "place",
        ["seed", "prediction", "encoder", "name", "something_else"],
    )
    def test_other_registered_classes_are_not_built(self, preset, place):
        config = json.loads((preset / "config.json").read_text())
        config["config"][place] = keras.saving.serialize_keras_object(Halfway())
        (preset / "config.json").write_text(json.dumps(config))
        made = Halfway.made
        with pytest.raises(ValueError, match=f"{place}: expected .*'tests>Halfway'"):
            Regen.from_preset(preset)
        assert Halfway.made == made

    def test_nor_are_those_inside_another(self, preset):
        text = (preset / "config.json").read_text()
        gadget = keras.saving.serialize_keras_object(Halfway())
        text = text.replace('"units": 16', f'"units": {json.dumps(gadget)}')
        (preset / "config.json").write_text(text)
        made = Halfway.made
        with pytest.raises(ValueError, match="decoder: `units` must be a whole number"):
            Regen.from_preset(preset)
        assert Halfway.made == made

    def test_classes_of_the_caller(self, tmp_path):
        make_regen(diffusion_path=Halfway()).save_to_preset(tmp_path)
        with pytest.raises(ValueError, match="`from_preset` takes a class of your own"):
            Regen.from_preset(tmp_path)
        given = {"tests>Halfway": Halfway}
        loaded = Regen.from_preset(tmp_path, custom_objects=given)
        assert type(loaded.diffusion_path) is Halfway

    def test_a_subclass_loads_its_own_preset(self, tmp_path):
        class Mine(Regen):
            pass

        parts = make_regen()
        Mine(parts.encoder, parts.decoder).save_to_preset(tmp_path)
        assert type(Mine.from_preset(tmp_path)) is Mine
        with pytest.raises(ValueError, match="model: expected one of.*Mine"):
            Regen.from_preset(tmp_path)


def fields(value, path=()):
    """Yields the path to every value in nested dicts and lists."""
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*path, key)
        yield from fields(item, (*path, key))


def test_any_wrong_value_is_an_error_or_harmless(regen, preset, monkeypatch):
    # What is built, and filled with weights, takes time and does not matter here.
    monkeypatch.setattr(Regen, "from_config", lambda config: regen)
    monkeypatch.setattr(VideoEncoder, "from_config", lambda config: None)
    monkeypatch.setattr(DiTDecoder, "from_config", lambda config: None)
    monkeypatch.setattr(presets, "load_weights", lambda model, path: None)
    monkeypatch.setattr(presets, "count_stored", lambda path: 10**6)
    monkeypatch.setattr(presets, "_check_weights", lambda directory: None)
    text = (preset / "config.json").read_text()
    for wrong in (None, [], {}, "x", -1, 1e9, True, [[[[]]]]):
        refused = 0
        for *path, last in fields(json.loads(text)):
            config = inner = json.loads(text)
            for key in path:
                inner = inner[key]
            inner[last] = wrong
            (preset / "config.json").write_text(json.dumps(config))
            try:
                Regen.from_preset(preset)
            except ValueError as error:
                assert "config.json is not" in str(error)
                refused += 1
        # The rest are names, modules and what Keras adds.
        assert refused > 20


@pytest.mark.parametrize("preset", bundled_presets())
def test_bundled_presets_have_a_model_card(preset):
    """`tools.score_preset` writes it."""
    card = preset_directory(preset) / "README.md"
    assert card.read_text() == preset_card(preset)


def test_without_the_hub_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install keras-regen\[hub\]"):
        Regen.from_preset("hf://user/name")


class TestBadInput:
    def test_unknown_preset(self):
        with pytest.raises(ValueError, match="'nowhere', which has no config.json"):
            Regen.from_preset("nowhere")

    def test_the_run_of_a_preset(self, preset, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run/preset").symlink_to(preset)
        with pytest.raises(ValueError, match="no config.json: did you mean .*preset?"):
            Regen.from_preset(tmp_path / "run")

    def test_another_k(self, preset):
        message = "temporal_compression=4. Received: temporal_compression=8"
        with pytest.raises(ValueError, match=message):
            Regen.from_preset(preset, temporal_compression=8)

    @pytest.mark.parametrize(
        ("file", "text", "message"),
        [
            ("config.json", "{}", "config.json is not the configuration"),
            ("config.json", '{"config": []}', "config.json is not the configuration"),
            ("config.json", "not json", "config.json is not JSON"),
            ("config.json", "[1]", "config.json must hold a JSON object"),
            ("config.json", DEEP, "config.json is not JSON: it is nested deeper"),
            ("metadata.json", '{"licence": ', "metadata.json is not JSON"),
            ("metadata.json", DEEP, "metadata.json is not JSON: it is nested deeper"),
        ],
    )
    def test_broken_json(self, preset, file, text, message):
        (preset / file).write_text(text)
        with pytest.raises(ValueError, match=message):
            Regen.from_preset(preset)

    @pytest.mark.parametrize(
        ("part", "changes"),
        [
            # Within the limits of each argument, but not of the file of weights.
            ("decoder", {"depth": 256, "units": 16384}),
            ("encoder", {"widths": [16384]}),
        ],
    )
    def test_more_parameters_than_weights(self, preset, part, changes):
        config = json.loads((preset / "config.json").read_text())
        config["config"][part]["config"].update(changes)
        (preset / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=f"{part}: it has more parameters than"):
            Regen.from_preset(preset)

    def test_weights_that_declare_more_than_they_hold(self, preset):
        with h5py.File(preset / "model.weights.h5", "w") as file:
            file.create_dataset("vars", (10**9,), "float32", chunks=(1000,))
        forget_digest(preset)
        with pytest.raises(
            ValueError, match="declares 4,000,000,000 bytes of values, and 0 "
        ):
            Regen.from_preset(preset)

    def test_weights_in_another_file(self, preset):
        (preset / "secret").write_bytes(bytes(range(16)))
        with h5py.File(preset / "model.weights.h5", "a") as file:
            file.create_dataset(
                "there", (4,), "float32", external=[(preset / "secret", 0, 16)]
            )
        forget_digest(preset)
        with pytest.raises(
            ValueError, match="values of its `there` are in another file"
        ):
            Regen.from_preset(preset)

    def test_broken_weights(self, preset):
        data = (preset / "model.weights.h5").read_bytes()
        (preset / "model.weights.h5").write_bytes(data[: len(data) // 2])
        with pytest.raises(ValueError, match=r"model.weights.h5"):
            Regen.from_preset(preset)

    @pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
    def test_a_flipped_bit(self, preset, place):
        data = bytearray((preset / "model.weights.h5").read_bytes())
        data[int(place * len(data))] ^= 1
        (preset / "model.weights.h5").write_bytes(data)
        with pytest.raises(ValueError, match="model.weights.h5 is damaged or belongs"):
            Regen.from_preset(preset)

    def test_unknown_dtype(self, regen, tmp_path):
        with pytest.raises(ValueError, match="Received: dtype='int4'"):
            regen.save_to_preset(tmp_path / "preset", dtype="int4")
        assert not (tmp_path / "preset").exists()

    def test_another_preset_is_replaced_unless_that_is_forbidden(self, regen, preset):
        before = {p.name: p.read_bytes() for p in preset.iterdir()}
        with pytest.raises(ValueError, match="There is a preset, which"):
            regen.save_to_preset(preset, {"licence": "MIT"}, overwrite=False)
        assert {p.name: p.read_bytes() for p in preset.iterdir()} == before
        regen.save_to_preset(preset, {"licence": "MIT"})
        assert preset_metadata(preset)["licence"] == "MIT"
        regen.save_to_preset(preset / "new", overwrite=False)
        assert (preset / "new" / "config.json").is_file()

    def test_a_preset_that_a_bundled_one_would_hide(self, regen, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        name = bundled_presets()[0]
        with pytest.raises(ValueError, match=f"choose another.*directory={name}"):
            regen.save_to_preset(name)
        regen.save_to_preset(tmp_path / name)
        monkeypatch.setattr(bundled, "PRESETS", tmp_path)
        regen.save_to_preset(name)

    def test_a_failed_save_leaves_the_old_preset(self, regen, preset, monkeypatch):
        before = {p.name: p.read_bytes() for p in preset.iterdir()}
        with pytest.raises(TypeError):
            regen.save_to_preset(preset, {"unserialisable": object()})
        assert {p.name: p.read_bytes() for p in preset.iterdir()} == before

    @pytest.mark.parametrize("dtype", ["float32", "int8"])
    def test_a_full_disk(self, regen, preset, dtype):
        before = {p.name: p.read_bytes() for p in preset.iterdir()}
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
        try:
            with pytest.raises(ValueError, match="Cannot write the preset: File too"):
                regen.save_to_preset(preset, dtype=dtype)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert {p.name: p.read_bytes() for p in preset.iterdir()} == before


def test_the_card_of_a_generator_says_how_to_load_it():
    metadata = {"codec": "regen_small_8x8x8", "examples": ["a"]}
    with_texts = model_card("toy", "LatentDiffusion", 4, metadata)
    assert 'kr.VideoGenerator.from_preset("toy")' in with_texts
    assert 'generator.generate("a")' in with_texts
    alone = model_card("toy", "LatentDiffusion", 4, {})
    assert 'kr.generation.LatentDiffusion.from_preset("toy")' in alone
