"""The choice of the Keras backend, before Keras is imported, and what depends on it."""

import contextlib
import importlib.util
import json
import logging
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from keras_regen.types import Backend, Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

logger = logging.getLogger("keras_regen")

# In order of preference.
BACKENDS = ("jax", "torch", "tensorflow")
# What Keras writes to its configuration file where there is none, whatever backend it
# runs on.
_UNTOUCHED = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}
# The value of `KERAS_BACKEND` that `choose_backend` set, and not the user.
_chosen = None


def choose_backend(preferred: str | None = None) -> Backend:
    """Chooses the backend that Keras will be imported with.

    It is the backend in `KERAS_BACKEND`, if the user set it; otherwise the preferred
    one; otherwise the one in Keras's configuration file, if it is installed; otherwise
    the first of JAX, PyTorch and TensorFlow that is installed. If Keras is imported
    already, its choice stands.

    Args:
        preferred: str or None. A backend that suits the work best. Defaults to none.

    Returns:
        `"jax"`, `"torch"` or `"tensorflow"`, and sets `KERAS_BACKEND` to it.

    Raises:
        ValueError: if `KERAS_BACKEND` is none of the three or is not installed, or if
            no backend is installed.
    """
    global _chosen
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend()
    wanted = os.environ.get("KERAS_BACKEND")
    if preferred and wanted in ("", None, _chosen):
        wanted = preferred
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
        wanted = _chosen = _configured_or_first(installed)
    os.environ["KERAS_BACKEND"] = wanted
    return cast("Backend", wanted)


@contextlib.contextmanager
def without_jax(backend: str) -> Iterator[None]:
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
def quiet_start() -> Iterator[None]:
    """Keeps messages that native code writes on import off the terminal.

    TensorFlow writes from C++ before it reads its log level, so the file descriptor of
    stderr is redirected. Python's errors are raised as usual.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.stderr is None:
        # It is closed, and file descriptor 2 may be that of another file.
        yield
        return
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


def to_device(array: "np.ndarray") -> Tensor:
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
    import numpy as np
    import torch

    # PyTorch takes no negative strides, and warns of arrays that are not writable.
    array = np.require(array, requirements=("C", "W"))
    return torch.from_numpy(array).pin_memory().to(device, non_blocking=True)


def to_numpy(value: "ArrayLike") -> "np.ndarray":
    """Returns an array, a tensor or a nested list as an array, bfloat16 as float32."""
    import keras
    import numpy as np

    if keras.ops.is_tensor(value):
        # Unlike NumPy, it takes PyTorch's bfloat16 and tensors with a gradient.
        value = keras.ops.convert_to_numpy(value)
    array = np.asarray(value)
    # NumPy does not count bfloat16 as floating.
    return array.astype("float32") if array.dtype == "bfloat16" else array


def is_concrete(tensor: Tensor) -> bool:
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


def _configured_or_first(installed):
    """Returns the backend in Keras's configuration file, or the first installed one."""
    home = os.environ.get("KERAS_HOME")
    folder = pathlib.Path(home) if home else pathlib.Path.home() / ".keras"
    path = folder / "keras.json"
    try:
        configuration = json.loads(path.read_text())
        configured = configuration.get("backend")
    except (OSError, ValueError, AttributeError):
        return installed[0]
    if configured in installed:
        return configured
    # Nobody chose what Keras wrote by itself.
    if configured and configuration != _UNTOUCHED:
        logger.warning(
            "Keras runs on %s, since %s, which %s names, is not installed.",
            installed[0],
            configured,
            path,
        )
    return installed[0]
