"""The choice of Keras's backend, made before Keras is imported."""

import contextlib
import importlib.util
import json
import os
import pathlib
import sys

# In the order of preference.
BACKENDS = ("jax", "torch", "tensorflow")


def choose_backend():
    """Chooses the backend that Keras will be imported with.

    `KERAS_BACKEND` decides; then Keras's own configuration, if what it names is
    installed; then the first of JAX, PyTorch and TensorFlow that is installed.

    Returns:
        `"jax"`, `"torch"` or `"tensorflow"`, now also in `KERAS_BACKEND`.

    Raises:
        ValueError: if `KERAS_BACKEND` names none of the three, or one that is not
            installed, or if none is installed.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend()
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted and wanted not in BACKENDS:
        raise ValueError(
            f"The backends are {', '.join(BACKENDS)}. Received: KERAS_BACKEND={wanted}"
        )
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    if wanted and wanted not in installed:
        raise ValueError(
            f"The backend {wanted} is not installed; {', '.join(installed) or 'none'} "
            f"is. Received: KERAS_BACKEND={wanted}"
        )
    if not installed:
        raise ValueError(
            "Keras needs a backend and none is installed: pip install "
            f"keras-regen[{BACKENDS[0]}], or one of {', '.join(BACKENDS[1:])}."
        )
    if not wanted:
        configured = _configured_backend()
        wanted = configured if configured in installed else installed[0]
    os.environ["KERAS_BACKEND"] = wanted
    return wanted


@contextlib.contextmanager
def alone(backend):
    """Keeps the other backends from being imported, as if they were not installed.

    Keras on PyTorch, and TensorFlow, import JAX where they find it, in a third of a
    second, and do without where they do not.

    Args:
        backend: str. The one that may be imported.
    """
    others = {name for name in BACKENDS if name != backend} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(others))
    try:
        yield
    finally:
        for name in others:
            del sys.modules[name]


@contextlib.contextmanager
def quiet_start():
    """Keeps what native code writes while it starts off the terminal.

    TensorFlow greets from C++ before it reads its log level, so the file descriptor is
    what has to be turned away. Python's own errors are raised as ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    terminal = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)


def _configured_backend():
    """The backend of Keras's configuration file; None without one."""
    home = os.environ.get("KERAS_HOME")
    folder = pathlib.Path(home) if home else pathlib.Path.home() / ".keras"
    try:
        return json.loads((folder / "keras.json").read_text()).get("backend")
    except (OSError, ValueError, AttributeError):
        return None
