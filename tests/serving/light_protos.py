"""The protos of TensorFlow and TF Serving, without TensorFlow.

The protos in `tensorflow.core` need only protobuf, but importing them imports the whole
package `tensorflow` first. This module replaces the package by an empty one that finds
its submodules in the wheel's folder. The replacement lasts until the process ends, so
use it only in processes that never import TensorFlow: import it before anything from
`tensorflow` or `tensorflow_serving`.
"""

import importlib.util
import pathlib
import sys
import types


def wheel_folder():
    """Finds the folder of the TensorFlow wheel without importing it."""
    replacement = sys.modules.get("tensorflow")
    if replacement is not None:
        return pathlib.Path(replacement.__path__[0])
    spec = importlib.util.find_spec("tensorflow")
    if spec is None:
        raise ModuleNotFoundError("TensorFlow is not installed")
    return pathlib.Path(spec.submodule_search_locations[0])


def is_light():
    """Returns whether neither TensorFlow's Python nor Keras was imported."""
    heavy = {"tensorflow.python", "tensorflow._api", "keras", "jax", "torch"}
    return not heavy & sys.modules.keys() and not hasattr(
        sys.modules["tensorflow"], "__version__"
    )


if "tensorflow" not in sys.modules:
    _package = types.ModuleType("tensorflow", __doc__)
    _package.__path__ = [str(wheel_folder())]
    sys.modules["tensorflow"] = _package
if not is_light():
    raise ImportError(
        "TensorFlow or Keras was imported before tests.serving.light_protos"
    )
