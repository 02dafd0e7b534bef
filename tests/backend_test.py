import importlib
import importlib.util
import json
import os
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import keras_regen
from keras_regen import backend
from keras_regen.backend import (
    BACKENDS,
    choose_backend,
    quiet_start,
    to_device,
    without_jax,
)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that has not imported Keras; call it with what is there."""
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def set_up(installed, variable=None, configured=None):
        monkeypatch.setattr(backend, "_chosen", None)
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: name in installed or None
        )
        if variable is None:
            # Set first, so that what the choice writes is taken back too.
            monkeypatch.setenv("KERAS_BACKEND", "")
        else:
            monkeypatch.setenv("KERAS_BACKEND", variable)
        if configured is not None:
            (tmp_path / "keras.json").write_text(json.dumps(configured))

    return set_up


ALL = ("tensorflow", "torch", "jax")


@pytest.mark.parametrize(
    ("installed", "variable", "configured", "expected"),
    [
        (ALL, None, None, "jax"),
        (("tensorflow", "torch"), None, None, "torch"),
        (("tensorflow",), None, None, "tensorflow"),
        (ALL, None, {"backend": "tensorflow"}, "tensorflow"),
        (("torch",), None, {"backend": "tensorflow"}, "torch"),
        (ALL, None, {"backend": "unheard of"}, "jax"),
        (ALL, None, {}, "jax"),
        (ALL, None, ["not", "a", "dict"], "jax"),
        (ALL, "torch", {"backend": "tensorflow"}, "torch"),
    ],
)
def test_choice(fresh, installed, variable, configured, expected):
    fresh(installed, variable, configured)
    assert choose_backend() == expected
    assert os.environ["KERAS_BACKEND"] == expected


def test_unreadable_configuration_is_passed_over(fresh, tmp_path):
    fresh(("torch",))
    (tmp_path / "keras.json").write_text("{broken")
    assert choose_backend() == "torch"


def test_a_configured_backend_that_is_not_installed_is_told(fresh, tmp_path, caplog):
    fresh(("torch",), configured={"backend": "jax"})
    assert choose_backend() == "torch"
    # The variable is set now, so nothing is told twice.
    assert choose_backend() == "torch"
    path = tmp_path / "keras.json"
    assert caplog.messages == [
        f"Keras runs on torch, since jax, which {path} names, is not installed."
    ]


def test_what_keras_wrote_by_itself_is_nobodys_choice(fresh, caplog):
    # Keras writes it at its first import, on any backend, even one that fails.
    configured = {
        "floatx": "float32",
        "epsilon": 1e-07,
        "backend": "tensorflow",
        "image_data_format": "channels_last",
    }
    fresh(("jax",), configured=configured)
    assert choose_backend() == "jax"
    assert not caplog.messages


def test_a_preferred_backend_yields_to_the_variable_alone(fresh, monkeypatch):
    fresh(ALL, configured={"backend": "torch"})
    # As on the import of the package, before a command knows what it prefers.
    assert choose_backend() == "torch"
    assert choose_backend("tensorflow") == "tensorflow"
    fresh(ALL, "torch")
    assert choose_backend("tensorflow") == "torch"


IMPORT = """
import json, os, sys
import keras_regen
assert "keras" not in sys.modules
before = os.environ["KERAS_BACKEND"]
import keras
print(json.dumps([before, keras.config.backend()]))
"""


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="it does not depend on the backend"
)
def test_the_package_chooses_before_keras_is_imported(tmp_path):
    root = os.path.dirname(os.path.dirname(keras_regen.__file__))
    environment = {**os.environ, "PYTHONPATH": root, "KERAS_HOME": str(tmp_path)}
    del environment["KERAS_BACKEND"]
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    process = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(process.stdout) == ["torch", "torch"]
    assert process.stderr == ""


def test_the_package_without_a_backend(fresh, monkeypatch):
    fresh(())

    def import_module(name):
        # As Keras does.
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(importlib, "import_module", import_module)
    monkeypatch.delitem(vars(keras_regen), "Regen", raising=False)
    with pytest.raises(ValueError, match="none is installed: pip install"):
        _ = keras_regen.Regen


@pytest.mark.parametrize(
    ("installed", "variable", "message"),
    [
        (ALL, "theano", "jax, torch, tensorflow. Received: KERAS_BACKEND=theano"),
        (("jax",), "torch", "torch is not installed; jax is. Received: KERAS_BACKEND"),
        ((), "torch", "torch is not installed; none is. Received: KERAS_BACKEND=torch"),
        ((), None, "none is installed: pip install"),
    ],
)
def test_errors(fresh, installed, variable, message):
    fresh(installed, variable)
    with pytest.raises(ValueError, match=message):
        choose_backend()


def test_after_keras_is_imported_there_is_no_choice(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    assert choose_backend() == keras.config.backend()


def test_quiet_start(capfd):
    with pytest.raises(KeyError), quiet_start():
        os.write(2, b"a greeting")
        raise KeyError
    os.write(2, b"an error")
    assert capfd.readouterr().err == "an error"


def test_jax_cannot_be_imported_for_a_while(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    with without_jax("torch"):
        with pytest.raises(ImportError, match="JAX is not the backend"):
            importlib.import_module("jax")
        # SciPy looks here for what is imported, and takes None for a module.
        assert all(sys.modules.get(name, "absent") for name in BACKENDS)
        importlib.import_module("colorsys")
    before = list(sys.meta_path)
    with without_jax("jax"):
        assert sys.meta_path == before


def test_quiet_start_where_stderr_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with quiet_start():
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"]


@pytest.fixture
def fake_cuda(monkeypatch):
    """PyTorch on the CPU, in the place of CUDA."""
    import torch

    cuda = types.SimpleNamespace(device=types.SimpleNamespace(type="cuda"))
    monkeypatch.setattr(keras.ops, "zeros", lambda shape: cuda)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *args, **kwargs: self)


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="PyTorch's pinned memory"
)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="uint8").reshape(2, 3)[..., ::-1],
        np.broadcast_to(np.arange(3, dtype="float32"), (2, 3)),
    ],
    ids=["reversed", "broadcast"],
)
def test_arrays_of_any_strides_go_to_cuda(fake_cuda, array):
    tensor = to_device(array)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(tensor), array)
