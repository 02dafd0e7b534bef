import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_regen.training import distribution
from tests.models.conftest import make_regen

BACKEND = keras.backend.backend()
ROOT = pathlib.Path(__file__).parents[2]


def only(backend):
    return pytest.mark.skipif(backend != BACKEND, reason=f"for {backend}")


def run(folder, *command, **variables):
    """Runs Python in a new process."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::UserWarning",
        **variables,
    }
    arguments = [sys.executable, *command, str(folder)]
    done = subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def check_equal(folder, name, expected, atol=1e-4):
    found, expected = (np.load(folder / f"{x}.npz") for x in (name, expected))
    assert sorted(found) == sorted(expected)
    assert np.isnan(found["losses"]).tolist() == [False, True, False]
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], atol=atol, err_msg=key)


@only("jax")
def test_jax_devices_train_as_one(tmp_path):
    run(tmp_path, "-m", "tests.training.jax_worker")
    check_equal(tmp_path, "data", "single")
    check_equal(tmp_path, "model", "single")
    check_equal(tmp_path, "model_generator", "generator")

    # With data parallelism each device has all weights. On 2x4 devices that share the
    # model, each has an eighth of each kernel.
    whole = np.load(tmp_path / "data_shards.npz")
    shared = np.load(tmp_path / "model_shards.npz")
    assert whole["block_0/qkv/kernel"].tolist() == [16, 48]
    assert shared["block_0/qkv/kernel"].tolist() == [8, 12]
    assert shared["block_0/mlp_output/kernel"].tolist() == [16, 8]
    assert shared["stage_1_down/kernel"].tolist() == [3, 3, 3, 4, 2]
    generator = np.load(tmp_path / "generator_shards.npz")
    assert generator["modulation/kernel"].tolist() == [16, 192]
    assert generator["label_embedding/embeddings"].tolist() == [4, 16]


@only("tensorflow")
def test_tensorflow_replicas_train_as_one(tmp_path):
    run(tmp_path, "-m", "tests.training.tensorflow_worker", TF_CPP_MIN_LOG_LEVEL="3")
    check_equal(tmp_path, "data", "single")
    check_equal(tmp_path, "data_generator", "generator")
    first, second = np.load(tmp_path / "draws.npz").values()
    assert np.abs(first - second).min() > 0.0


@only("torch")
def test_torch_processes_train_as_one(tmp_path):
    worker = ("-m", "tests.training.torch_worker")
    run(tmp_path, *worker, WORLD_SIZE="1")
    run(
        tmp_path,
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *worker,
        OMP_NUM_THREADS="1",
    )
    check_equal(tmp_path, "2_0", "1_0")
    check_equal(tmp_path, "2_1", "2_0", atol=0.0)

    draws = [np.load(tmp_path / f"{x}_draw.npy") for x in ("1_0", "2_0", "2_1")]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[1] - draws[2]).min() > 0.0

    check_equal(tmp_path, "2_0_half", "1_0_half", atol=1e-3)
    check_equal(tmp_path, "2_1_half", "2_0_half", atol=0.0)

    check_equal(tmp_path, "2_0_generator", "1_0_generator")
    check_equal(tmp_path, "2_1_generator", "2_0_generator", atol=0.0)


def test_nothing_changes_on_one_device(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distribution.scope():
        regen = make_regen()
        with pytest.raises(ValueError, match="Received: compiled=False"):
            distribution.distribute(regen)
        regen.compile(optimizer="sgd")
        step = regen.train_step
        distribution.distribute(regen)
        assert regen.train_step == step
        assert distribution.num_replicas() == distribution.world_size() == 1
        assert distribution.is_chief()
        assert distribution.local_batch_size(3) == 3


def test_replicas_have_different_seeds():
    assert distribution.replica_seed(7, 0) == 7
    seeds = {distribution.replica_seed(s, r) for s in (0, 1, -1) for r in range(1, 9)}
    assert len(seeds) == 24 and all(0 <= seed < 2**31 for seed in seeds)


def test_bad_arguments(monkeypatch):
    with pytest.raises(ValueError, match="at least 1. Received: model_parallel=0"):
        with distribution.scope(model_parallel=0):
            pass
    with pytest.raises(ValueError, match="Received: model_parallel=3"):
        with distribution.scope(model_parallel=3):
            pass
    monkeypatch.setattr(distribution, "num_replicas", lambda: 4)
    with pytest.raises(ValueError, match="4 replicas.*Received: batch_size=6"):
        distribution.local_batch_size(6)
    with pytest.raises(ValueError, match="Received: batch_size=0"):
        distribution.local_batch_size(0)
