"""The export formats and what each needs. Importing this does not import Keras."""

import dataclasses
import importlib.util
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from keras_regen.types import ScheduleName

SCHEDULES = get_args(ScheduleName)
# The dtypes in which a SavedModel can store its weights.
STORED_AS = ("float32", "bfloat16", "int8")
# Before, torch.export fails on the shapes of Keras.
TORCH_EXPORT_KERAS = (3, 14)


@dataclasses.dataclass(frozen=True)
class Format:
    """A format to export to.

    Args:
        function: str. `"module:function"` in this package, which writes a directory.
        backends: tuple of str. The Keras backends that can write the format.
        extra: str. The extra of this package that installs what it needs.
        modules: tuple of str. The modules that it needs.
        options: tuple of str. Keyword arguments of the function.
        min_keras: tuple of 2 ints. The first version of Keras that can write it.
            Defaults to any.
    """

    function: str
    backends: tuple[str, ...]
    extra: str
    modules: tuple[str, ...]
    options: tuple[str, ...] = ()
    min_keras: tuple[int, int] = (3, 0)

    def missing(self) -> list[str]:
        """Returns the modules that are not installed, a list of str."""
        return [name for name in self.modules if importlib.util.find_spec(name) is None]

    def check_keras(self, version: str) -> None:
        """Raises ImportError if this version of Keras cannot write the format."""
        if tuple(map(int, version.split(".")[:2])) < self.min_keras:
            needed = ".".join(map(str, self.min_keras))
            raise ImportError(
                f'The format needs a newer Keras: pip install "keras>={needed}". '
                f"Received: Keras {version}"
            )

    def backend(self) -> str | None:
        """Returns the first installed backend that can write the format, or None."""
        return next(filter(importlib.util.find_spec, self.backends), None)


FORMATS = {
    "tf_saved_model": Format(
        "saved_model:export_saved_model",
        ("tensorflow", "jax"),
        "serving",
        ("tensorflow",),
        ("weights", "max_steps", "max_pixels", "warmup", "schedule"),
    ),
    "onnx": Format(
        "onnx_model:export_onnx",
        ("torch",),
        "onnx",
        ("torch", "onnx", "onnxscript"),
        ("num_steps", "schedule"),
        TORCH_EXPORT_KERAS,
    ),
    "openvino": Format(
        "onnx_model:export_openvino",
        ("torch",),
        "openvino",
        ("torch", "onnx", "onnxscript", "openvino"),
        ("num_steps", "schedule"),
        TORCH_EXPORT_KERAS,
    ),
    "torch": Format(
        "torch_program:export_torch",
        ("torch",),
        "torch",
        ("torch",),
        ("num_steps", "schedule"),
        TORCH_EXPORT_KERAS,
    ),
    "stablehlo": Format(
        "stablehlo:export_stablehlo",
        ("jax",),
        "stablehlo",
        ("jax", "flatbuffers"),
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
        message = f"The options of {name} are: {', '.join(FORMATS[name].options)}."
        if "num_steps" in unknown:
            message += " Its `decode` takes the number of sampling steps as an input."
        raise ValueError(f"{message} Received: {', '.join(sorted(unknown))}")
    _check_values(options)
    if missing := FORMATS[name].missing():
        raise ImportError(
            f"Export to {name} needs {', '.join(missing)}: pip install "
            f'"keras-regen[{FORMATS[name].extra}]"'
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
