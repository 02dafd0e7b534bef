"""The formats, and what each needs. Importing it does not import Keras."""

import dataclasses
import importlib.util

# How a SavedModel's weights can be stored.
STORED_AS = ("float32", "bfloat16", "int8")


@dataclasses.dataclass(frozen=True)
class Format:
    """A format to export to.

    Args:
        function: str, `"module:function"` of this package: writes into a directory.
        backends: tuple of str. Keras's backends that it can be written from.
        packages: dict from the modules that it needs to what installs them.
        options: tuple of str. Keyword arguments of the function.
    """

    function: str
    backends: tuple
    packages: dict
    options: tuple = ()

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
        ("weights", "max_steps", "max_pixels", "warmup"),
    ),
    "onnx": Format(
        "onnx_model:export_onnx",
        ("torch",),
        {"torch": "torch", "onnx": "onnx", "onnxscript": "onnxscript"},
        ("num_steps",),
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
        ("num_steps",),
    ),
    "torch": Format(
        "torch_program:export_torch", ("torch",), {"torch": "torch"}, ("num_steps",)
    ),
    "stablehlo": Format(
        "stablehlo:export_stablehlo",
        ("jax",),
        {"jax": "jax", "flatbuffers": "flatbuffers"},
    ),
}


def find_format(name, options=()):
    """A format by its name.

    Args:
        name: str.
        options: iterable of str. The options that it is to take.

    Raises:
        ValueError: if there is no such format or option.
        ImportError: if what it needs is not installed.
    """
    if name not in FORMATS:
        raise ValueError(
            f"The formats are {', '.join(FORMATS)}. Received: format={name!r}"
        )
    if unknown := set(options) - set(FORMATS[name].options):
        takes = ", ".join(FORMATS[name].options) or "none"
        raise ValueError(
            f"The options of {name} are: {takes}. "
            f"Received: {', '.join(sorted(unknown))}"
        )
    if missing := FORMATS[name].missing():
        raise ImportError(
            f"Export to {name} needs more packages: pip install {' '.join(missing)}"
        )
    return FORMATS[name]
