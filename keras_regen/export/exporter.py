"""Exports to any format from any backend."""

import dataclasses
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
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
        process = subprocess.run(
            [sys.executable, "-m", "keras_regen.export.exporter", json.dumps(request)],
            env=os.environ | {"KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
        )
    if process.returncode:
        # The last line is the error.
        message = (process.stderr.strip().splitlines() or ["no message"])[-1]
        error = ValueError if process.returncode == USER_ERROR else RuntimeError
        raise error(message)


def _main(request):
    from keras_regen.models import load_model

    request = json.loads(request)
    model = load_model(request.pop("preset"), dtype=request.pop("dtype"))
    try:
        export(model, **request)
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(USER_ERROR)


if __name__ == "__main__":
    _main(sys.argv[1])
