"""Exports to any format from any backend."""

import dataclasses
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_regen.atomic_output import AtomicOutput
from keras_regen.export.formats import find_format
from keras_regen.types import StrPath

if TYPE_CHECKING:
    from keras_regen.models import Regen

# Exit status of the subprocess when its message is meant for the user.
USER_ERROR = 2


def export(
    regen: "Regen", path: StrPath, format: str = "tf_saved_model", **options: Any
) -> None:
    """Exports a model. See `Regen.export`."""
    # Importing Keras fixes the backend, which the command line chooses by the format.
    import keras

    chosen = find_format(format, options)
    chosen.check_keras(keras.__version__)
    if regen.decoder.window is not None:
        if chosen.backends == ("torch",):
            # PyTorch would fix whether an axis is padded and has one window or more.
            raise ValueError(
                "A decoder that attends within windows can be exported to "
                f'"tf_saved_model" and "stablehlo". Received: format={format!r}, '
                f"window={regen.decoder.window}"
            )
        if "tensorflow" in chosen.backends:
            # Its graph for any size has no masks, and is faster on CPUs than JAX's.
            chosen = dataclasses.replace(chosen, backends=("tensorflow",))
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with AtomicOutput(path, "exported model", directory=True) as output:
        if keras.backend.backend() in chosen.backends:
            module, function = chosen.function.split(":")
            module = importlib.import_module(f"keras_regen.export.{module}")
            getattr(module, function)(regen, output.temporary, **options)
        else:
            _export_under_backend(
                regen, output.temporary, chosen.backend(), format, options
            )


def save_generator(functions: Any, directory: pathlib.Path) -> None:
    """Writes the SavedModel of a generator, under the TensorFlow backend.

    Args:
        functions: `generation.GeneratorFunctions`.
        directory: path of an empty directory.
    """
    # Importing it imports TensorFlow.
    importlib.import_module("keras_regen.export.saved_generator").save(
        functions, directory
    )


def _export_under_backend(regen, directory, backend, format, options):
    """Makes the same call in a subprocess with another backend."""
    with tempfile.TemporaryDirectory() as preset:
        save_for_process(regen, preset, backend)
        request = {
            "preset": preset,
            "dtype": regen.encoder.dtype_policy.name,
            "path": str(directory),
            "format": format,
            **options,
        }
        export_in_process("keras_regen.export.exporter", request, backend)


def save_for_process(model: Any, directory: StrPath, backend: str) -> None:
    """Saves the preset of a model for a process that exports it.

    It has the default weighting and distribution of times: they matter in training
    alone, and the process knows no classes of a user's own.

    Args:
        model: a `Regen` or a `VideoGenerator`.
        directory: path.
        backend: str. The process's backend of Keras, for messages.

    Raises:
        ValueError: if the model or another part of it is of a user's own class.
    """
    model.save_to_preset(directory)
    path = pathlib.Path(directory) / "config.json"
    config = json.loads(path.read_text())
    parts = config["config"]
    for name in ("weighting", "time_distribution", "dtype"):
        parts.pop(name, None)
    for name, part in {"model": config, **parts}.items():
        registered = isinstance(part, dict) and part.get("registered_name")
        if registered and not registered.startswith("keras_regen>"):
            raise ValueError(
                f"Another process exports, under KERAS_BACKEND={backend}, and knows no "
                "classes but the package's. Export under this backend yourself. "
                f"Received: {name} of the class {registered}"
            )
    path.write_text(json.dumps(config))


def export_in_process(module: str, request: dict[str, Any], backend: str) -> None:
    """Runs a module that calls `answer_request` in a process with another backend.

    Args:
        module: str.
        request: dict that JSON can hold.
        backend: str. The process's backend of Keras.

    Raises:
        ValueError: with the message of the process, if the request is not possible.
        RuntimeError: if it fails for another reason, with what it wrote as a note.
    """
    process = subprocess.run(
        [sys.executable, "-m", module, json.dumps(request)],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    if not process.returncode:
        return
    # The last line is the error.
    message = (process.stderr.strip().splitlines() or ["no message"])[-1]
    if process.returncode == USER_ERROR:
        raise ValueError(message)
    if process.returncode < 0:
        message = (
            f"The process that exports under KERAS_BACKEND={backend} was killed by "
            f"signal {-process.returncode}"
        )
        if process.returncode == -signal.SIGKILL:
            message += ", likely for lack of memory"
    error = RuntimeError(message)
    error.add_note(process.stderr)
    raise error


def answer_request(function: Callable[[dict[str, Any]], None]) -> None:
    """Calls a function with the request of `export_in_process`, and exits on errors."""
    try:
        function(json.loads(sys.argv[1]))
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(USER_ERROR)


def _main(request):
    from keras_regen.models import load_model

    model = load_model(request.pop("preset"), dtype=request.pop("dtype"))
    export(model, **request)


if __name__ == "__main__":
    answer_request(_main)
