"""Latents in HDF5 files: written piece by piece, read at once or when used."""

import hashlib
import json
import pathlib

import h5py
import numpy as np

from keras_regen.atomic_output import AtomicOutput
from keras_regen.latents.chunk_layout import ChunkLayout

_FORMAT = "keras-regen latents"
_VERSION = 1
# Values to compress together, where a chunk of the video has fewer.
_BLOCK = 32768


class LatentsWriter:
    """Writes latents piece by piece, in constant memory.

    The file appears when the `with` block ends without an error. It holds one dataset,
    `latents`, compressed without loss, and the attributes `format`, `version`, `header`
    (JSON) and `content_hash`.

    Args:
        path: path to write to.
        dtype: `"float16"` or `"float32"`. How values are stored. Defaults to
            `"float16"`.

    Raises:
        ValueError: if `dtype` is another, or the file cannot be written.
    """

    def __init__(self, path, dtype="float16"):
        if dtype not in ("float16", "float32"):
            raise ValueError(
                f'`dtype` must be "float16" or "float32". Received: dtype={dtype!r}'
            )
        self._dtype = dtype
        self._output = AtomicOutput(path, "latents")
        self._file = h5py.File(self._output.temporary, "w")
        self._dataset = self._header = None
        self._hash = ContentHash()

    def write(self, piece):
        """Appends `Latents` that start where the last piece ended.

        Raises:
            ValueError: if they start elsewhere, or hold a value that cannot be stored.
        """
        if self._header is None:
            self._header = piece.header
            self._create(piece.array.shape[1:])
        else:
            self._header = extended_header(self._header, piece)
        for i in range(piece.num_chunks):
            with np.errstate(over="ignore"):
                values = np.asarray(piece.chunks(i, i + 1)).astype(self._dtype)
            if not np.all(np.isfinite(values)):
                raise self._output.error(f"a value is not finite as {self._dtype}")
            self._dataset.resize(len(self._dataset) + 2, axis=0)
            self._dataset[-2:] = values
            self._hash.update(values)

    def _create(self, shape):
        together = max(1, _BLOCK // (2 * int(np.prod(shape))))
        self._dataset = self._file.create_dataset(
            "latents",
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(2 * together, *shape),
            dtype=self._dtype,
            compression="gzip",
            shuffle=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, exception_type, *exception):
        try:
            if exception_type is None:
                if self._header is None:
                    raise self._output.error("there are none")
                self._file.attrs["format"] = _FORMAT
                self._file.attrs["version"] = _VERSION
                self._file.attrs["header"] = json.dumps(self._header)
                self._file.attrs["content_hash"] = self._hash.hexdigest(self._header)
            self._file.close()
            if exception_type is None:
                self._output.commit()
        except OSError as error:
            raise self._output.error(error.strerror or str(error)) from error
        finally:
            self._output.discard()


class _StoredArray:
    """Rows of an HDF5 dataset, read when NumPy asks for them.

    A slice is a `_StoredArray` again; any other index reads.

    Args:
        dataset: `h5py.Dataset`.
        start: int. The first row.
        stop: int. The row after the last.
    """

    def __init__(self, dataset, start, stop):
        self._dataset = dataset
        self._start, self._stop = start, stop
        self.shape = (stop - start, *dataset.shape[1:])
        self.dtype = dataset.dtype

    def __len__(self):
        return self._stop - self._start

    def __getitem__(self, index):
        if not isinstance(index, slice) or index.step not in (None, 1):
            return np.asarray(self)[index]
        start, stop, _ = index.indices(len(self))
        start, stop = self._start + start, self._start + max(start, stop)
        return _StoredArray(self._dataset, start, stop)

    def __array__(self, dtype=None, copy=None):
        values = self._dataset[self._start : self._stop]
        return values if dtype is None else values.astype(dtype)


def read_latents(cls, path, lazy=False):
    """Reads `Latents`, made by `cls`; see `Latents.load`."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise _unreadable(path, "there is no such file")
    try:
        file = h5py.File(path)
    except OSError as error:
        reason = "it is truncated" if "truncated" in str(error) else "it is not HDF5"
        raise _unreadable(path, reason) from error
    try:
        latents = _read(cls, file, path)
        if not lazy:
            latents = cls(np.asarray(latents.array), **latents.header)
    except OSError as error:
        file.close()
        raise _unreadable(path, "it is damaged") from error
    except BaseException:
        file.close()
        raise
    if not lazy:
        file.close()
    return latents


def _read(cls, file, path):
    if file.attrs.get("format") != _FORMAT:
        raise _unreadable(path, "it does not hold latents of keras-regen")
    if file.attrs["version"] != _VERSION:
        raise _unreadable(
            path, f"it is of version {file.attrs['version']}, not {_VERSION}"
        )
    try:
        array = _StoredArray(file["latents"], 0, len(file["latents"]))
        latents = cls(array, **json.loads(file.attrs["header"]))
        expected = file.attrs["content_hash"]
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, f"its header is damaged: {error}") from error
    if latents.content_hash != expected:
        raise _unreadable(path, "its content does not have the hash in its header")
    return latents


def _unreadable(path, reason):
    return ValueError(f"Cannot read the latents: {reason}. Received: path={path}")


def extended_header(header, piece):
    """Returns the header of latents together with the piece that follows them.

    Raises:
        ValueError: if the piece does not follow them.
    """
    layout = ChunkLayout(header["temporal_compression"], header["chunking"])
    stop = header["start"] + header["num_frames"]
    expected = {
        **piece.header,
        **header,
        "num_frames": piece.num_frames,
        "start": stop,
        "first_chunk": stop // layout.stride,
    }
    if piece.header != expected:
        differing = [name for name in expected if piece.header[name] != expected[name]]
        raise ValueError(
            f"A piece must follow the one before: {differing[0]} = "
            f"{expected[differing[0]]}. Received: {piece.header[differing[0]]}"
        )
    return {**header, "num_frames": header["num_frames"] + piece.num_frames}


class ContentHash:
    """The hash of latents that arrive piece by piece."""

    def __init__(self):
        self._digest = hashlib.sha256()

    def update(self, array):
        """Adds the values of a piece."""
        array = np.asarray(array)
        little_endian = array.dtype.newbyteorder("<")
        self._digest.update(array.astype(little_endian, order="C").tobytes())

    def hexdigest(self, header):
        """Returns the hash of the pieces and the header, as 64 hexadecimal digits."""
        digest = self._digest.copy()
        digest.update(json.dumps(header, sort_keys=True).encode())
        return digest.hexdigest()
