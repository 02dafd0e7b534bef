"""Exports to any format from any backend."""

import dataclasses
import importlib
import json
import os
import pathlib
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
            _export_in_process(
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


def _export_in_process(regen, directory, backend, format, options):
    """Makes the same call in a subprocess with another backend."""
    with tempfile.TemporaryDirectory() as preset:
        regen.save_to_preset(preset)
        request = {
            "preset": preset,
            "dtype": regen.encoder.dtype_policy.name,
            "path": str(directory),
            "format": format,
            **options,
        }
        export_in_process("keras_regen.export.exporter", request, backend)


def export_in_process(module: str, request: dict[str, Any], backend: str) -> None:
    """Runs a module that calls `answer_request` in a process with another backend.

    Args:
        module: str.
        request: dict that JSON can hold.
        backend: str. The process's backend of Keras.

    Raises:
        ValueError: with the message of the process, if the request is not possible.
        RuntimeError: if it fails for another reason.
    """
    process = subprocess.run(
        [sys.executable, "-m", module, json.dumps(request)],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    if process.returncode:
        # The last line is the error.
        message = (process.stderr.strip().splitlines() or ["no message"])[-1]
        error = ValueError if process.returncode == USER_ERROR else RuntimeError
        raise error(message)


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
