import importlib.metadata
import json

import keras
import numpy as np
import pytest

import keras_regen
from keras_regen.benchmark import (
    Benchmark,
    Settings,
    ceilings,
    plot_seconds,
    timer,
    work,
)
from keras_regen.benchmark.machine import versions
from keras_regen.benchmark.timer import MachineBusyError
from keras_regen.benchmark.work import make_work
from keras_regen.models import (
    ARCHITECTURES,
    ConvAutoencoder,
    ConvDecoder,
    decoder_operations,
    encoder_operations,
    training_operations,
)
from tests.benchmark.toys import DECODER, ENCODER, K, toy

SIZE = (16, 24)
REPORT_KEYS = {
    "date",
    "backend",
    "machine",
    "versions",
    "settings",
    "other_cores_allowed",
    "ceilings",
    "rows",
    "skipped",
}
ROW_KEYS = {
    "model",
    "is_peer",
    "case",
    "num_steps",
    "parameters",
    "batch_size",
    "frames",
    "height",
    "width",
    "dtype",
    "first_call_seconds",
    "seconds",
    "min_seconds",
    "max_seconds",
    "samples",
    "calls_per_sample",
    "other_cores",
    "discarded",
    "frames_per_second",
    "operations",
    "operations_per_second",
    "share_of_ceiling",
    "peak_memory_bytes",
    "ratios",
}


@pytest.fixture
def small(monkeypatch):
    """Ceilings of toy size, and a toy as an architecture."""
    monkeypatch.setattr(ceilings, "MATMUL_SIDES", (64,))
    monkeypatch.setattr(ceilings, "CONV_SIDES", (4,))
    monkeypatch.setattr(timer, "MIN_SAMPLE_SECONDS", 0.01)
    config = {"encoder": ENCODER, "decoder": DECODER}
    monkeypatch.setitem(ARCHITECTURES, "toy", config)


class Others:
    """Other processes, idle or busy."""

    busy = False
    total = 0.0

    def __call__(self):
        self.total += 9.0 * self.busy
        return self.total


def quick(others=None):
    return timer.Timer(repeats=1, other_load=others or Others())


def test_report(small, tmp_path):
    settings = Settings(
        models=("toy",),
        compressions=(K,),
        cases=("train", "encode", "decode", "dit"),
        sizes=(SIZE,),
        batch_size=2,
        num_steps=2,
    )
    run = Benchmark(settings, quick())
    labels = []
    assert len(list(run.run(labels.append))) == len(labels) == len(run) == 5
    run.save(tmp_path)
    report = json.loads((tmp_path / "benchmark.json").read_text())
    assert set(report) == REPORT_KEYS
    assert report["backend"] == keras.backend.backend()
    assert report["machine"]["device"] and report["versions"]["keras"]
    rates = report["ceilings"]["float32"]
    assert rates["ceiling"] == max(rates[n] for n in ("matmul", "conv3d", "numpy"))
    rows = {row["case"]: row for row in report["rows"]}
    # Training comes last, because its optimiser takes memory.
    assert list(rows) == ["encode", "decode", "dit", "train"]
    for row in rows.values():
        assert set(row) == ROW_KEYS
        assert 0 < row["min_seconds"] <= row["seconds"] <= row["max_seconds"]
        assert row["frames_per_second"] == pytest.approx(2 * (K + 1) / row["seconds"])
        rate = row["operations"] / row["seconds"]
        assert row["share_of_ceiling"] == pytest.approx(rate / rates["ceiling"])
    shape, model = (2, K + 1, *SIZE), toy()
    decoder = decoder_operations(model.decoder, shape)
    assert rows["encode"]["operations"] == encoder_operations(model.encoder, shape)
    assert rows["dit"]["operations"] == decoder
    assert rows["decode"]["operations"] == 2 * decoder
    assert rows["train"]["operations"] == training_operations(model, shape)
    plot_seconds(report, tmp_path / "benchmark.png")
    assert (tmp_path / "benchmark.png").read_bytes().startswith(b"\x89PNG")


def test_rows_of_runs_have_the_names_of_the_runs(small, tmp_path):
    runs = [tmp_path / name / "preset" for name in ("first", "second")]
    for run in runs:
        toy().save_to_preset(run)
    models = tuple(map(str, runs))
    run = Benchmark(Settings(models=models, cases=("encode",), sizes=(SIZE,)), quick())
    assert [row["model"] for row in run.run() if row] == ["first", "second"]


def test_rows_from_before_the_machine_got_busy_are_kept(small, tmp_path):
    others = Others()
    run = Benchmark(
        Settings(models=("toy",), compressions=(K,), sizes=(SIZE,)), quick(others)
    )
    with pytest.raises(MachineBusyError):
        for row in run.run():
            run.save(tmp_path)
            others.busy = row is not None
    report = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["case"] for row in report["rows"]] == ["encode"]


def test_a_peer_that_cannot_decode_is_skipped(small, monkeypatch):
    pytest.importorskip("diffusers")

    def refuse():
        raise NotImplementedError("no bfloat16 here")

    class Refusing:
        """A peer that encodes but cannot decode."""

        title = "A peer"

        def __init__(self, name, dtype):
            pass

        def takes(self, *shape):
            return True

        def parameters(self):
            return [1, 1]

        def work(self, case, shape):
            return work.Work(refuse if case == "decode" else lambda: None, 1)

    monkeypatch.setattr("keras_regen.benchmark.peers.Peer", Refusing)
    settings = Settings(
        models=("toy",), compressions=(K,), sizes=(SIZE,), peers=("wan",)
    )
    run = Benchmark(settings, quick())
    assert len(list(run.run())) == len(run)
    report = run.report()
    peers = [row["case"] for row in report["rows"] if row["is_peer"]]
    assert peers == ["encode"]
    (reason,) = report["skipped"]
    assert "decode" in reason and "no bfloat16 here" in reason


def test_an_unknown_model():
    with pytest.raises(ValueError, match=r"architecture \(tiny, .*'nowhere'"):
        Benchmark(Settings(models=("nowhere",)), quick())


def test_architectures_have_no_zero_kernels(small):
    regen = work.make_model("toy", K, "float32")
    assert regen.temporal_compression == K
    kernels = [w for w in regen.trainable_variables if w.name == "kernel"]
    assert all(np.any(keras.ops.convert_to_numpy(kernel)) for kernel in kernels)


def test_a_conventional_decoder():
    encoder = toy().encoder
    model = ConvAutoencoder(encoder, ConvDecoder(K, widths=(8,), num_blocks=(1,)))
    decode = make_work("decode", model, SIZE, num_steps=3)
    assert decode.function().shape == (1, K + 1, *SIZE, 3)
    # It has no steps.
    assert decode.operations == decoder_operations(model.decoder, (1, K + 1, *SIZE))
    with pytest.raises(ValueError, match="ConvAutoencoder"):
        make_work("dit", model, SIZE)


def test_versions_need_no_installation(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    found = versions()
    assert found["keras-regen"] == keras_regen.__version__
    assert found["keras"] == keras.__version__
