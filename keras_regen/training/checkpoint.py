"""The state of a training in one file, from which it can be resumed."""

import json
import os
import pathlib

import h5py
import keras

from keras_regen.atomic_output import AtomicOutput
from keras_regen.hdf5_file import Hdf5Writer

FORMAT = "keras-regen checkpoint"
VERSION = 1


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

    def __init__(self, path, write=True):
        super().__init__()
        self.path = pathlib.Path(path)
        self.write = write
        self.history = []

    @property
    def epochs(self):
        return len(self.history)

    def restore(self, model):
        """Restores the state of a compiled model, if the file exists.

        Returns:
            int. Finished epochs; 0 without a file.

        Raises:
            ValueError: if the file is not a checkpoint of this model and optimiser.
        """
        if not self.path.exists():
            return 0
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        try:
            with h5py.File(self.path) as file:
                self.history = self._read(file, model)
        except (OSError, KeyError) as error:
            raise self._error(str(error)) from error
        return self.epochs

    def on_epoch_end(self, epoch, logs=None):
        self.history.append({name: float(value) for name, value in logs.items()})
        if self.write:
            self._save()

    def _save(self):
        with AtomicOutput(self.path, "checkpoint") as output:
            with Hdf5Writer(output.temporary) as file:
                file.attrs["format"] = FORMAT
                file.attrs["version"] = VERSION
                file["history"] = json.dumps(self.history)
                for name, variables in _state(self.model).items():
                    group = file.create_group(name)
                    for i, variable in enumerate(variables):
                        group[str(i)] = keras.ops.convert_to_numpy(variable)
                        group[str(i)].attrs["path"] = variable.path
            # After a power cut the renamed file must not lack its content.
            with output.temporary.open("rb") as file:
                os.fsync(file.fileno())

    def _read(self, file, model):
        if file.attrs.get("format") != FORMAT or file.attrs["version"] != VERSION:
            raise self._error(f"it is not a checkpoint of version {VERSION}")
        values = {}
        for name, variables in _state(model).items():
            group = file[name]
            if len(group) != len(variables):
                raise self._error(
                    f"it holds {len(group)} variables of the {name}, which has "
                    f"{len(variables)}"
                )
            for i, variable in enumerate(variables):
                value = group[str(i)][()]
                if value.shape != tuple(variable.shape):
                    raise self._error(
                        f"{group[str(i)].attrs['path']} has shape {value.shape}, "
                        f"{variable.path} {tuple(variable.shape)}"
                    )
                values[id(variable)] = variable, value
        for variable, value in values.values():
            variable.assign(value)
        return json.loads(file["history"][()])

    def _error(self, reason):
        return ValueError(
            f"Cannot resume from the checkpoint: {reason}. Received: path={self.path}"
        )


def _state(model):
    """Returns the variables that training changes, except those of metrics."""
    metrics = {id(v) for v in model.metrics_variables}
    return {
        "model": [v for v in model.variables if id(v) not in metrics],
        "optimizer": model.optimizer.variables,
    }
