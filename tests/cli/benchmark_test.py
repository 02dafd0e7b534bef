import importlib.util
import json

from keras_regen.benchmark import ceilings, timer
from tests.cli.conftest import assert_user_error

# Other tests may run at the same time.
QUICK = ("--size", "16", "--repeats", 1, "--any-load")


def test_the_table_and_what_is_written(run, preset, tmp_path, monkeypatch):
    monkeypatch.setattr(ceilings, "MATMUL_SIDES", (64,))
    monkeypatch.setattr(ceilings, "CONV_SIDES", (4,))
    monkeypatch.setattr(timer, "MIN_SAMPLE_SECONDS", 0.01)
    command = ("benchmark", "--model", preset, "--output", "out", *QUICK)
    status, stdout, stderr = run(*command)
    assert (status, stderr) == (0, "")
    for word in ("toy, encode", "toy, decode", "5x16x16", "GFLOP/s", "Other programs"):
        assert word in stdout
    report = json.loads((tmp_path / "out/benchmark.json").read_text())
    assert [row["case"] for row in report["rows"]] == ["encode", "decode"]
    assert report["other_cores_allowed"] is None
    assert (tmp_path / "out/benchmark.png").stat().st_size > 0


def test_errors(run, preset, monkeypatch, tmp_path):
    command = ("benchmark", "--model", preset, *QUICK)
    assert_user_error(run(*command, "--case", "dance"), "case=dance")
    assert_user_error(run(*command, "--size", "20x16"), "size=20x16")
    assert_user_error(run(*command, "--dtype", "int8"), "dtype=int8")
    assert_user_error(run(*command, "--k", 16), "temporal_compression=16")
    assert_user_error(run("benchmark", "--model", "nowhere"), "architecture")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_user_error(run(*command, "--peers"), "keras-regen[peers]")
    (tmp_path / "file").touch()
    assert_user_error(run(*command, "--output", "file"), "file")
    (tmp_path / "benchmark.json").touch()
    assert_user_error(run(*command, "-o", tmp_path), "with --overwrite")
