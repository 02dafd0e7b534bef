import contextlib
import json
import shutil

import h5py
import keras
import numpy as np
import pytest

from keras_regen.training import Checkpoint, GradientGuard
from keras_regen.training.checkpoint import _check_history
from tests.models.conftest import make_regen
from tests.models.regen_test import moving_squares


def compiled(seed=0, **encoder):
    keras.utils.set_random_seed(seed)
    regen = make_regen(encoder=encoder)
    regen.compile(GradientGuard(keras.optimizers.AdamW(1e-2, use_ema=True)))
    return regen


def fit(regen, checkpoint, epochs, *callbacks):
    regen.fit(
        moving_squares(8),
        batch_size=4,
        epochs=epochs,
        initial_epoch=checkpoint.epochs,
        shuffle=False,
        callbacks=[checkpoint, *callbacks],
        verbose=0,
    )


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    # With "kl" the encoder draws random numbers too.
    whole, path = Checkpoint(tmp_path / "whole.h5"), tmp_path / "checkpoint.h5"

    def copy(epoch, logs):
        if epoch == 1:
            shutil.copy(whole.path, path)

    # A run that is killed after this epoch leaves the same file.
    callback = keras.callbacks.LambdaCallback(on_epoch_end=copy)
    fit(compiled(regularization="kl"), whole, 4, callback)
    regen, checkpoint = compiled(seed=1, regularization="kl"), Checkpoint(path)
    assert checkpoint.restore(regen) == 2
    fit(regen, checkpoint, 4)
    losses = [[logs["loss"] for logs in c.history] for c in (whole, checkpoint)]
    assert len(losses[0]) == 4
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    with h5py.File(whole.path) as a, h5py.File(checkpoint.path) as b:
        for group in ("model", "optimizer"):
            assert len(a[group]) == len(b[group]) > 0
            for name in a[group]:
                np.testing.assert_allclose(
                    b[group][name][()], a[group][name][()], rtol=1e-5, atol=1e-7
                )


def test_without_a_file(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.h5")
    assert checkpoint.restore(compiled()) == 0


def test_only_the_chief_writes(tmp_path):
    fit(compiled(), Checkpoint(tmp_path / "checkpoint.h5", write=False), 1)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.h5"
    checkpoint, regen = Checkpoint(path), compiled()
    fit(regen, checkpoint, 1)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ValueError, match="No space left on device"):
        fit(regen, checkpoint, 2)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.h5"]


def test_checkpoint_of_another_model(tmp_path):
    path = tmp_path / "checkpoint.h5"
    fit(compiled(), Checkpoint(path), 1)
    with pytest.raises(ValueError, match=r"variables of the model.*Received: path="):
        Checkpoint(path).restore(compiled(regularization="kl"))
    with pytest.raises(ValueError, match=r"has shape .*48, 8\), stem/kernel .*48, 4\)"):
        Checkpoint(path).restore(compiled(widths=(4,)))
    other = compiled()
    other.compile(GradientGuard(keras.optimizers.SGD()))
    with pytest.raises(ValueError, match="variables of the optimizer"):
        Checkpoint(path).restore(other)


@pytest.mark.parametrize("content", [b"", b"not HDF5"])
def test_not_a_checkpoint(tmp_path, content):
    path = tmp_path / "checkpoint.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Cannot resume from the checkpoint"):
        Checkpoint(path).restore(compiled())


def test_the_history_is_json(tmp_path):
    path = tmp_path / "checkpoint.h5"
    fit(compiled(), Checkpoint(path), 1)
    with h5py.File(path) as file:
        assert json.loads(file["history"][()])[0].keys() == {"loss"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Returns the bytes of a checkpoint, and the model that it is of."""
    path = tmp_path_factory.mktemp("checkpoints") / "checkpoint.h5"
    model = compiled()
    fit(model, Checkpoint(path), 1)
    return path.read_bytes(), model


class TestDamage:
    @pytest.fixture
    def path(self, saved, tmp_path):
        path = tmp_path / "checkpoint.h5"
        path.write_bytes(saved[0])
        return path

    def test_a_flipped_bit_of_a_weight(self, saved, path):
        data, model = saved
        values = model.get_weights()
        with h5py.File(path) as file:
            offset = file["model/0"].id.get_offset()
        path.write_bytes(data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :])
        with pytest.raises(ValueError, match="it is damaged: its SHA-256.*Received: p"):
            Checkpoint(path).restore(model)
        for before, after in zip(values, model.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)

    @pytest.mark.parametrize(
        "history",
        [None, [], {}, [1], [{"loss": "low"}], [{"loss": True}]],
    )
    def test_a_history_of_another_type(self, history):
        with pytest.raises(ValueError, match="a list of the logs"):
            _check_history(history)

    def test_any_damage_is_an_error_of_one_kind(self, saved, path):
        data, model = saved
        rng = np.random.default_rng(0)
        for _ in range(20):
            place = int(rng.integers(len(data)))
            damaged = bytearray(data)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged[: place + 1] if rng.random() < 0.2 else damaged)
            # What no variable is stored in may be damaged without harm.
            with contextlib.suppress(ValueError):
                assert Checkpoint(path).restore(model) == 1
