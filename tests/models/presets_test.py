import json
import sys

import h5py
import numpy as np
import pytest

from keras_regen.models import Regen, preset_metadata
from keras_regen.models.weights_file import MIN_INT8_SIZE, file_sha256
from tests.models.conftest import awaken, make_regen
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
    metadata = preset_metadata(preset)
    assert metadata.pop("weights_sha256") == file_sha256(preset / "model.weights.h5")
    assert metadata == {"licence": "CC0"}


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
        if theirs.ndim < 2 or theirs.size < MIN_INT8_SIZE:
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

    def test_broken_metadata(self, preset):
        (preset / "metadata.json").write_text('{"licence": ')
        with pytest.raises(ValueError, match="metadata.json is not JSON"):
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

    def test_a_failed_save_leaves_the_old_preset(self, regen, preset, monkeypatch):
        before = {p.name: p.read_bytes() for p in preset.iterdir()}
        with pytest.raises(TypeError):
            regen.save_to_preset(preset, {"unserialisable": object()})
        assert {p.name: p.read_bytes() for p in preset.iterdir()} == before
