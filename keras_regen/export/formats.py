"""The export formats and what each needs. Importing this does not import Keras."""

import dataclasses
import importlib.util
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# As `diffusion.SCHEDULES`, which needs Keras.
SCHEDULES = ("log_snr", "uniform")
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
        ("weights", "max_steps", "max_pixels", "warmup", "schedule"),
    ),
    "onnx": Format(
        "onnx_model:export_onnx",
        ("torch",),
        {"torch": "torch", "onnx": "onnx", "onnxscript": "onnxscript"},
        ("num_steps", "schedule"),
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
        ("num_steps", "schedule"),
    ),
    "torch": Format(
        "torch_program:export_torch",
        ("torch",),
        {"torch": "torch"},
        ("num_steps", "schedule"),
    ),
    "stablehlo": Format(
        "stablehlo:export_stablehlo",
        ("jax",),
        {"jax": "jax", "flatbuffers": "flatbuffers"},
        ("schedule",),
    ),
}


def find_format(name: str, options: Mapping[str, Any] = MappingProxyType({})) -> Format:
    """Returns a `Format` by its name, and checks the options for it.

    What does not depend on the model is checked here, before a backend or another
    process is started.

    Args:
        name: str, a key of `FORMATS`.
        options: dict. The options of `Regen.export` that the caller will pass.

    Raises:
        ValueError: if the format or one of the options does not exist, or an option
            has an impossible value.
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
    _check_values(options)
    if missing := FORMATS[name].missing():
        raise ImportError(
            f"Export to {name} needs more packages: pip install {' '.join(missing)}"
        )
    return FORMATS[name]


def _check_values(options):
    weights = options.get("weights", "float32")
    if weights not in STORED_AS:
        raise ValueError(
            f"`weights` must be one of {', '.join(STORED_AS)}. "
            f"Received: weights={weights!r}"
        )
    schedule = options.get("schedule", SCHEDULES[0])
    if schedule not in SCHEDULES:
        raise ValueError(
            f"`schedule` must be one of {', '.join(SCHEDULES)}. "
            f"Received: schedule={schedule!r}"
        )
    for name in ("max_steps", "max_pixels", "num_steps"):
        value = options.get(name, 1)
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                f"`{name}` must be an int of at least 1. Received: {name}={value}"
            )
