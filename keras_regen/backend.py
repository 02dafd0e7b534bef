"""The choice of the Keras backend, before Keras is imported, and what depends on it."""

import contextlib
import importlib.util
import json
import os
import pathlib
import sys

# In order of preference.
BACKENDS = ("jax", "torch", "tensorflow")


def choose_backend():
    """Chooses the backend that Keras will be imported with.

    It is the backend in `KERAS_BACKEND`; otherwise the one in Keras's configuration
    file, if it is installed; otherwise the first of JAX, PyTorch and TensorFlow that is
    installed.

    Returns:
        `"jax"`, `"torch"` or `"tensorflow"`, and sets `KERAS_BACKEND` to it.

    Raises:
        ValueError: if `KERAS_BACKEND` is none of the three or is not installed, or if
            no backend is installed.
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
def without_jax(backend):
    """Prevents the import of JAX where it is not the backend.

    Keras on PyTorch, and TensorFlow, import JAX if it is installed, which takes a third
    of a second, and work without it.

    Args:
        backend: str. The backend.
    """
    finder = _WithoutJax()
    if backend != "jax":
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


class _WithoutJax:
    """A finder of modules that finds no JAX, and leaves the others to other finders.

    `None` in `sys.modules` would do so too, but libraries look there for what is
    imported, and take it for a module.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "jax":
            raise ModuleNotFoundError("JAX is not the backend", name=name)


@contextlib.contextmanager
def quiet_start():
    """Keeps messages that native code writes on import off the terminal.

    TensorFlow writes from C++ before it reads its log level, so the file descriptor of
    stderr is redirected. Python's errors are raised as usual.
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


def to_device(array):
    """Copies a NumPy array to the device that Keras computes on.

    On PyTorch with CUDA the copy goes through pinned memory, and the caller does not
    wait for it.

    Args:
        array: NumPy array.

    Returns:
        Tensor of the array's dtype.
    """
    import keras

    if keras.backend.backend() != "torch":
        return keras.ops.convert_to_tensor(array)
    device = keras.ops.zeros(()).device
    if device.type != "cuda":
        return keras.ops.convert_to_tensor(array)
    import torch

    return torch.from_numpy(array).pin_memory().to(device, non_blocking=True)


def is_concrete(tensor):
    """Returns whether a tensor has values, as it has unless a function is traced."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    if backend == "tensorflow":
        import tensorflow

        return not tensorflow.is_symbolic_tensor(tensor)
    import torch

    return tensor.device.type != "meta" and not torch.compiler.is_compiling()


def _configured_backend():
    """Returns the backend in Keras's configuration file, or None."""
    home = os.environ.get("KERAS_HOME")
    folder = pathlib.Path(home) if home else pathlib.Path.home() / ".keras"
    try:
        return json.loads((folder / "keras.json").read_text()).get("backend")
    except (OSError, ValueError, AttributeError):
        return None
