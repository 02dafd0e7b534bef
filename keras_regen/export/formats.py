"""The formats, and what each needs. Importing it does not import Keras."""

import dataclasses
import importlib.util


@dataclasses.dataclass(frozen=True)
class Format:
    """A format to export to.

    Args:
        function: str, `"module:function"` of this package: writes into a directory.
        backends: tuple of str. Keras's backends that it can be written from.
        packages: dict from the modules that it needs to what installs them.
    """

    function: str
    backends: tuple
    packages: dict

    def missing(self):
        """The packages to install, one string each."""
        return [
            package
            for module, package in self.packages.items()
            if importlib.util.find_spec(module) is None
        ]

    def backend(self):
        """The first installed backend that can write it, or None."""
        return next(filter(importlib.util.find_spec, self.backends), None)


FORMATS = {
    "tf_saved_model": Format(
        "saved_model:export_saved_model",
        ("tensorflow", "jax"),
        {"tensorflow": "tensorflow"},
    ),
    "onnx": Format(
        "onnx_model:export_onnx",
        ("torch",),
        {"torch": "torch", "onnx": "onnx", "onnxscript": "onnxscript"},
    ),
    "openvino": Format(
        "openvino_model:export_openvino",
        ("torch",),
        {
            "torch": "torch",
            "onnx": "onnx",
            "onnxscript": "onnxscript",
            "openvino": "openvino",
        },
    ),
    "torch": Format("torch_program:export_torch", ("torch",), {"torch": "torch"}),
    "stablehlo": Format("stablehlo:export_stablehlo", ("jax",), {"jax": "jax"}),
}


def find_format(name):
    """A format by its name.

    Raises:
        ValueError: if there is no such format.
        ImportError: if what it needs is not installed.
    """
    if name not in FORMATS:
        raise ValueError(
            f"The formats are {', '.join(FORMATS)}. Received: format={name!r}"
        )
    if missing := FORMATS[name].missing():
        raise ImportError(
            f"Export to {name} needs more packages: pip install {' '.join(missing)}"
        )
    return FORMATS[name]
