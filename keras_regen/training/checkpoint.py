"""The state of a training in one file, from which it can be resumed."""

import hashlib
import json
import os
import pathlib
from typing import Any

import keras
import numpy as np

from keras_regen.atomic_output import AtomicOutput
from keras_regen.checks import parse_json
from keras_regen.hdf5_file import Hdf5Writer, check_stored, open_hdf5
from keras_regen.types import StrPath

FORMAT = "keras-regen checkpoint"
VERSION = 1
# Attribute: the SHA-256 of the history and the variables.
DIGEST = "sha256"


class Checkpoint(keras.callbacks.Callback):
    """Saves the state of a run after every epoch, so that it can be resumed.

    The file holds the weights, the optimiser with its averages and schedule, the states
    of the random generators, and the history, whose length is the number of finished
    epochs. A new file replaces the old one by a rename, so that a killed process leaves
    a complete file.

    Args:
        path: path of the file, `.h5`.
        write: bool. Whether this process writes the file; in a distributed run only one
            does. Defaults to `True`.

    Attributes:
        epochs: int. Finished epochs.
        history: list of dict, the logs of each epoch.

    Example:

    ```python
    checkpoint = Checkpoint("run/checkpoint.h5")
    clips.epoch = checkpoint.restore(regen)
    regen.fit(
        clips, initial_epoch=checkpoint.epochs, epochs=100, callbacks=[checkpoint]
    )
    ```
    """

    def __init__(self, path: StrPath, write: bool = True) -> None:
        super().__init__()
        self.path = pathlib.Path(path)
        self.write = write
        self.history: list[dict[str, Any]] = []

    @property
    def epochs(self) -> int:
        return len(self.history)

    def restore(self, model: keras.Model) -> int:
        """Restores the state of a compiled model, if the file exists.

        Returns:
            int. Finished epochs; 0 without a file.

        Raises:
            ValueError: if the file is not a checkpoint of this model and optimiser, or
                is damaged.
        """
        if not self.path.exists():
            return 0
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        try:
            with open_hdf5(self.path) as file:
                self.history = _read(file, model)
        # For damaged files, h5py raises errors of nearly every type.
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise ValueError(
                f"Cannot resume from the checkpoint: {reason}. "
                f"Received: path={self.path}"
            ) from error
        return self.epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.history.append({name: float(value) for name, value in logs.items()})
        if self.write:
            self._save()

    def _save(self):
        with AtomicOutput(self.path, "checkpoint") as output:
            with Hdf5Writer(output.temporary) as file:
                file.attrs["format"] = FORMAT
                file.attrs["version"] = VERSION
                history = json.dumps(self.history)
                file["history"] = history
                digest = hashlib.sha256(history.encode())
                for name, variables in _state(self.model).items():
                    group = file.create_group(name)
                    for i, variable in enumerate(variables):
                        value = keras.ops.convert_to_numpy(variable)
                        group[str(i)] = value
                        group[str(i)].attrs["path"] = variable.path
                        _add(digest, value)
                file.attrs[DIGEST] = digest.hexdigest()
            # After a power cut the renamed file must not lack its content.
            with output.temporary.open("rb") as file:
                os.fsync(file.fileno())


def _read(file, model):
    """Assigns the state in a file to a model, and returns the history.

    Raises:
        ValueError: if it is not of this model, or damaged; the message is the reason
            alone. The model is then as before.
    """
    if file.attrs.get("format") != FORMAT or file.attrs["version"] != VERSION:
        raise ValueError(f"it is not a checkpoint of version {VERSION}")
    text = file["history"][()]
    digest, values = hashlib.sha256(text), []
    for name, variables in _state(model).items():
        group = file[name]
        if len(group) != len(variables):
            raise ValueError(
                f"it holds {len(group)} variables of the {name}, which has "
                f"{len(variables)}"
            )
        for i, variable in enumerate(variables):
            dataset = group[str(i)]
            if dataset.shape != tuple(variable.shape):
                raise ValueError(
                    f"{dataset.attrs['path']} has shape {dataset.shape}, "
                    f"{variable.path} {tuple(variable.shape)}"
                )
            check_stored(dataset)
            value = np.asarray(dataset[()])
            _add(digest, value)
            values.append((variable, value))
    if file.attrs.get(DIGEST) != digest.hexdigest():
        raise ValueError("it is damaged: its SHA-256 is not the one that it records")
    history = _check_history(parse_json(text))
    for variable, value in values:
        variable.assign(value)
    return history


def _add(digest, value):
    """Adds an array to a digest."""
    digest.update(f"{value.dtype} {value.shape}".encode())
    digest.update(value.tobytes())


def _check_history(history):
    """Returns a history, the logs of at least one epoch, or raises ValueError."""
    is_history = (
        isinstance(history, list)
        and history
        and all(isinstance(logs, dict) for logs in history)
        and all(type(x) in (int, float) for logs in history for x in logs.values())
    )
    if not is_history:
        raise ValueError("its history must be a list of the logs of at least one epoch")
    return history


def _state(model):
    """Returns the variables that training changes, except those of metrics."""
    metrics = {id(v) for v in model.metrics_variables}
    return {
        "model": [v for v in model.variables if id(v) not in metrics],
        "optimizer": model.optimizer.variables,
    }
