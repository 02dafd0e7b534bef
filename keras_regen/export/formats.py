"""The export formats and what each needs. Importing this does not import Keras."""

import dataclasses
import importlib.util
from collections.abc import Iterable

# The dtypes in which a SavedModel can store its weights.
STORED_AS = ("float32", "bfloat16", "int8")


@dataclasses.dataclass(frozen=True)
class Format:
    """A format to export to.

    Args:
        function: str. `"module:function"` in this package, which writes a directory.
        backends: tuple of str. The Keras backends that can write the format.
        packages: dict from each module that it needs to the package to install.
        options: tuple of str. Keyword arguments of the function.
    """

    function: str
    backends: tuple[str, ...]
    packages: dict[str, str]
    options: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Returns the packages that are not installed, a list of str."""
        return [
            package
            for module, package in self.packages.items()
            if importlib.util.find_spec(module) is None
        ]

    def backend(self) -> str | None:
        """Returns the first installed backend that can write the format, or None."""
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
        "onnx_model:export_openvino",
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


def find_format(name: str, options: Iterable[str] = ()) -> Format:
    """Returns a `Format` by its name.

    Args:
        name: str, a key of `FORMATS`.
        options: iterable of str. Names of the options that the caller will pass.

    Raises:
        ValueError: if the format or one of the options does not exist.
        ImportError: if a package that it needs is not installed.
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
