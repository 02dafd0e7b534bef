import json
import shutil

import keras
import numpy as np
import pytest

from keras_regen import ConvAutoencoder, Regen, bundled
from keras_regen.diffusion import UniformTimes
from keras_regen.generation import LatentDiffusion, LatentTransformer
from keras_regen.models import (
    bundled_presets,
    load_model,
    preset_card,
    preset_kind,
    preset_metadata,
    presets,
)
from tests.generation.conftest import make_generator
from tests.models.presets_test import fields

REGEN = "regen_small_8x8x8"
METADATA = {"description": "a toy", "codec": REGEN}


@pytest.fixture(scope="module")
def model():
    return make_generator(
        encoder_id="5eed", given_share=0.5, time_distribution=UniformTimes(0.25)
    )


@pytest.fixture
def preset(model, tmp_path):
    model.save_to_preset(tmp_path / "generator", METADATA)
    return tmp_path / "generator"


def generate(model):
    return model.generate(2, (2, 3), [0, 1], label=[0, 1], num_steps=2)


def test_round_trip(model, preset):
    loaded = LatentDiffusion.from_preset(preset)
    assert loaded.preset == str(preset) and loaded.time_distribution.terminal_share
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(generate(loaded), generate(model))
    assert preset_metadata(preset).items() >= METADATA.items()
    assert preset_kind(preset) == "generator" and preset_kind(REGEN) == "codec"


def test_whole_numbers_and_half_precision(tmp_path):
    model = make_generator(dtype="mixed_bfloat16", transformer={"units": 128})
    sizes = {}
    for dtype in ("float32", "int8"):
        model.save_to_preset(tmp_path / dtype, dtype=dtype)
        sizes[dtype] = (tmp_path / dtype / "model.weights.h5").stat().st_size
    assert sizes["int8"] < 0.4 * sizes["float32"]
    loaded = LatentDiffusion.from_preset(tmp_path / "int8", dtype="mixed_bfloat16")
    assert loaded.transformer.get_layer("block_0").compute_dtype == "bfloat16"
    difference = np.abs(generate(loaded) - generate(model))
    assert 0 < difference.mean() < 0.1


class TestKinds:
    @pytest.mark.parametrize("load", [Regen.from_preset, load_model])
    def test_a_generator_is_no_codec(self, preset, load):
        with pytest.raises(ValueError, match="a codec .*of a `LatentDiffusion`"):
            load(preset)

    def test_a_codec_is_no_generator(self):
        with pytest.raises(ValueError, match="a generator .*of a `Regen`"):
            LatentDiffusion.from_preset(REGEN)
        with pytest.raises(ValueError, match="Expected the preset of a `ConvAuto"):
            ConvAutoencoder.from_preset(REGEN)

    def test_bundled_names(self, model, preset, monkeypatch):
        shutil.copytree(bundled.PRESETS / REGEN, preset.parent / REGEN)
        monkeypatch.setattr(bundled, "PRESETS", preset.parent)
        assert bundled_presets() == [REGEN]
        assert bundled_presets("generator") == ["generator"]
        loaded = LatentDiffusion.from_preset("generator", temporal_compression=4)
        assert loaded.encoder_id == model.encoder_id
        with pytest.raises(ValueError, match=rf"\({REGEN}, generator\)"):
            LatentDiffusion.from_preset("nowhere")

    def test_another_k(self, preset):
        with pytest.raises(ValueError, match="has temporal_compression=4"):
            LatentDiffusion.from_preset(preset, temporal_compression=8)


def test_the_model_card(preset):
    card = preset_card(preset, "hf://user/toy")
    assert 'kr.VideoGenerator.from_preset("hf://user/toy")' in card
    assert "generator.generate()" in card
    assert "tags: [keras, video, generation, diffusion]" in card
    assert f"## Codec\n\n{REGEN}" in card and "two latent frames for each 5" in card


@pytest.mark.parametrize("name", bundled_presets("generator"))
def test_bundled_generators_have_a_model_card(name):
    assert (bundled.PRESETS / name / "README.md").read_text() == preset_card(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 256, "units": 16384}, "more parameters than the file"),
        ({"num_labels": 2**24}, "more parameters than the file"),
        ({"patch_size": 64}, "more parameters than the file"),
        ({"patch_size": 1000}, "`patch_size` must be"),
        ({"depth": 257}, "`depth` must be"),
        ({"window": 7}, "`window` must be"),
    ],
)
def test_sizes_are_checked_first(preset, changes, message):
    config = json.loads((preset / "config.json").read_text())
    config["config"]["transformer"]["config"].update(changes)
    (preset / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"transformer: .*{message}"):
        LatentDiffusion.from_preset(preset)


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="nothing is computed in it"
)
def test_any_wrong_value_is_an_error_or_harmless(model, preset, monkeypatch):
    monkeypatch.setattr(
        LatentTransformer, "from_config", lambda config: model.transformer
    )
    monkeypatch.setattr(presets, "load_weights", lambda model, path: None)
    monkeypatch.setattr(presets, "count_stored", lambda path: 10**6)
    monkeypatch.setattr(presets, "_check_weights", lambda directory: None)
    text = (preset / "config.json").read_text()
    for wrong in (None, {}, "x", -1, [[[[]]]]):
        refused = 0
        for *path, last in fields(json.loads(text)):
            # Each number of the statistics would be as good as the first.
            if {"mean", "std"} & set(path):
                continue
            config = inner = json.loads(text)
            for key in path:
                inner = inner[key]
            inner[last] = wrong
            (preset / "config.json").write_text(json.dumps(config))
            try:
                LatentDiffusion.from_preset(preset)
            except ValueError as error:
                assert "config.json" in str(error) or "Expected the" in str(error)
                refused += 1
        assert refused > 12
