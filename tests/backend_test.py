import importlib
import importlib.util
import json
import os
import sys

import keras
import pytest

from keras_regen.backend import BACKENDS, choose_backend, quiet_start, without_jax


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that has not imported Keras; call it with what is there."""
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def set_up(installed, variable=None, configured=None):
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
