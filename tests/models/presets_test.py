import json
import sys
import types

import h5py
import numpy as np
import pytest

from keras_regen.models import Regen, preset_metadata
from tests.models.conftest import awaken
from tests.test_case import random


@pytest.fixture
def preset(regen, tmp_path):
    awaken(regen).save_to_preset(tmp_path / "preset", {"licence": "CC0"})
    return tmp_path / "preset"


def test_round_trip(regen, preset):
    assert sorted(p.name for p in preset.iterdir()) == [
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]
    loaded = Regen.from_preset(str(preset))
    video = random(1, 5, 16, 16, 3)
    np.testing.assert_array_equal(loaded.reconstruct(video), regen.reconstruct(video))
    assert preset_metadata(preset) == {"licence": "CC0"}


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


def test_hub(preset, monkeypatch):
    calls = []
    hub = types.ModuleType("huggingface_hub")

    def snapshot_download(name, allow_patterns):
        calls.append((name, allow_patterns))
        return str(preset)

    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert Regen.from_preset("hf://user/name").temporal_compression == 4
    assert calls == [
        ("user/name", ["config.json", "model.weights.h5", "metadata.json"])
    ]


def test_without_the_hub_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install keras-regen\[hub\]"):
        Regen.from_preset("hf://user/name")


class TestBadInput:
    def test_unknown_preset(self):
        with pytest.raises(ValueError, match="'nowhere', which has no config.json"):
            Regen.from_preset("nowhere")

    def test_another_k(self, preset):
        message = "temporal_compression=4. Received: temporal_compression=8"
        with pytest.raises(ValueError, match=message):
            Regen.from_preset(preset, temporal_compression=8)

    @pytest.mark.parametrize("text", ["not json", "{}", '{"config": []}'])
    def test_broken_config(self, preset, text):
        (preset / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config.json is not the configuration"):
            Regen.from_preset(preset)

    def test_broken_weights(self, preset):
        data = (preset / "model.weights.h5").read_bytes()
        (preset / "model.weights.h5").write_bytes(data[: len(data) // 2])
        with pytest.raises(ValueError, match=r"model.weights.h5"):
            Regen.from_preset(preset)

    def test_unknown_dtype(self, regen, tmp_path):
        with pytest.raises(ValueError, match="Received: dtype='int8'"):
            regen.save_to_preset(tmp_path / "preset", dtype="int8")
        assert not (tmp_path / "preset").exists()

    def test_a_failed_save_leaves_the_old_preset(self, regen, preset, monkeypatch):
        before = {p.name: p.read_bytes() for p in preset.iterdir()}
        with pytest.raises(TypeError):
            regen.save_to_preset(preset, {"unserialisable": object()})
        assert {p.name: p.read_bytes() for p in preset.iterdir()} == before
