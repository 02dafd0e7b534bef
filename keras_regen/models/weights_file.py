"""Weights in HDF5 files: smaller than Keras stores them, and checked when loaded."""

import contextlib
import io
import pathlib
import tempfile

import h5py
import keras
import numpy as np

from keras_regen.hdf5_file import Hdf5Writer, check_stored, open_hdf5
from keras_regen.types import StrPath

DTYPES = ("float32", "float16", "int8")
# Attribute of a dataset of whole numbers: the float32 scale of each output channel.
SCALE = "scale"
# A smaller kernel is not rounded: it saves nothing and may matter.
MIN_ROUNDED_SIZE = 4096
MAX_INT8 = 127
# Rounding would shift the SIREN's frequencies.
FLOAT_LAYER = "siren"
DEFLATED = {"compression": "gzip", "shuffle": True}


def save_weights(model: keras.Model, path: StrPath, dtype: str = "float32") -> None:
    """Writes a model's weights without its optimiser, deflated.

    With `"int8"`, each large kernel becomes whole numbers from -127 to 127 with one
    scale for each output channel, its last axis; everything else becomes float16.

    Args:
        model: a `keras.Model`.
        path: path to write to, ending in `.weights.h5`.
        dtype: one of `DTYPES`. Defaults to `"float32"`.
    """
    unpacked = _MemoryFile()
    model.save_weights(unpacked)
    _rewrite(unpacked, path, lambda name, item: _pack(name, item, dtype), DEFLATED)


class _MemoryFile(io.BytesIO):
    """A file in memory: Keras crashes if it writes to a full disk."""

    def __str__(self):
        # Keras checks how the name ends.
        return "memory.weights.h5"


def load_weights(model: keras.Model, path: StrPath) -> None:
    """Loads what `save_weights` wrote, or Keras itself.

    Args:
        model: a `keras.Model` of the same configuration.
        path: path of the file.

    Raises:
        ValueError: if the file does not hold the model's weights.
    """
    with _reading(path), tempfile.TemporaryDirectory() as directory:
        with h5py.File(path) as file:
            # `visititems` stops at the first value that is not None.
            is_packed = file.visititems(lambda _, item: SCALE in item.attrs or None)
        if is_packed:
            packed, path = path, pathlib.Path(directory) / "unpacked.weights.h5"
            _rewrite(packed, path, _unpack)
        model.load_weights(path)


def count_stored(path: StrPath) -> int:
    """Counts the values that a file of weights holds, without reading them.

    Args:
        path: path of the file.

    Returns:
        int.

    Raises:
        ValueError: if it is not an HDF5 file, refers to other files, or declares more
            values than its size can hold.
    """
    with _reading(path), open_hdf5(path) as file:
        count = 0
        for dataset in _datasets(file):
            check_stored(dataset)
            count += dataset.size
        return count


def tolerates_rounding(path: str, values: np.ndarray) -> bool:
    """Returns whether an array of weights is a kernel to store in few bits.

    Args:
        path: str. The variable's path.
        values: NumPy array.
    """
    is_large = values.ndim > 1 and values.size >= MIN_ROUNDED_SIZE
    return is_large and FLOAT_LAYER not in path.split("/")


def to_int8(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds a kernel to whole numbers from -127 to 127.

    Args:
        values: float NumPy array of shape `(..., C)`.

    Returns:
        Pair of int8 values and the float32 scale of each output channel, `(C,)`.
    """
    largest = np.abs(values).max(axis=tuple(range(values.ndim - 1)))
    scale = (largest / MAX_INT8).astype("float32")
    return np.rint(values / np.where(scale > 0, scale, 1)).astype("int8"), scale


@contextlib.contextmanager
def _reading(path):
    """Turns any error of reading a file into a ValueError that names it."""
    try:
        yield
    # For damaged files, h5py and Keras raise errors of nearly every type.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} does not hold the weights: {reason}") from error


def _datasets(file):
    """Returns the datasets of an HDF5 file."""
    found = []
    file.visititems(
        lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None
    )
    return found


def _rewrite(source, target, convert, storage=None):
    """Copies an HDF5 file without the optimiser.

    Args:
        source: path of the file to read, or a file object.
        target: path of the file to write.
        convert: callable of a dataset's name and the dataset. Returns the values to
            store, and their scale or None.
        storage: dict or None. How datasets are stored, arguments of `create_dataset`.
    """
    with h5py.File(source) as old, Hdf5Writer(target) as new:
        new.attrs.update(old.attrs)

        def copy(name, item):
            if name.split("/")[0] == "optimizer":
                return
            if isinstance(item, h5py.Group):
                new.require_group(name).attrs.update(item.attrs)
                return
            values, scale = convert(name, item)
            # HDF5 cannot deflate a scalar.
            options = storage or {} if values.ndim else {}
            dataset = new.create_dataset(name, data=values, **options)
            if scale is not None:
                dataset.attrs[SCALE] = scale

        old.visititems(copy)


def _pack(name, dataset, dtype):
    values = dataset[()]
    if values.dtype.kind != "f":
        return values, None
    if dtype == "int8" and tolerates_rounding(name, values):
        return to_int8(values)
    # By NumPy: HDF5's own conversion to float16 halves what rounds up to a power of 2.
    return values.astype("float32" if dtype == "float32" else "float16"), None


def _unpack(name, dataset):
    values, scale = dataset[()], dataset.attrs.get(SCALE)
    return (values if scale is None else values.astype("float32") * scale), None
