"""The protos of TensorFlow and TF Serving, without TensorFlow.

`tensorflow.core` holds generated protos, which need protobuf alone, but importing a
submodule imports its package first, and that is all of TensorFlow. An empty package of
that name, which finds its submodules in the wheel's folder, stands in its place. It
stays for the life of the process, so this is for processes that never import the real
one: import it before anything from `tensorflow` or `tensorflow_serving`.
"""

import importlib.util
import pathlib
import sys
import types


def wheel_folder():
    """Folder of the TensorFlow wheel, which is found without being imported."""
    stand_in = sys.modules.get("tensorflow")
    if stand_in is not None:
        return pathlib.Path(stand_in.__path__[0])
    spec = importlib.util.find_spec("tensorflow")
    if spec is None:
        raise ModuleNotFoundError("TensorFlow is not installed")
    return pathlib.Path(spec.submodule_search_locations[0])


def is_light():
    """Whether neither TensorFlow's Python nor Keras was imported."""
    heavy = {"tensorflow.python", "tensorflow._api", "keras", "jax", "torch"}
    return not heavy & sys.modules.keys() and not hasattr(
        sys.modules["tensorflow"], "__version__"
    )


if "tensorflow" not in sys.modules:
    _package = types.ModuleType("tensorflow", __doc__)
    _package.__path__ = [str(wheel_folder())]
    sys.modules["tensorflow"] = _package
if not is_light():
    raise ImportError("TensorFlow or Keras was imported before its stand-in")
