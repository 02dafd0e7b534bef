"""HDF5 files: written to full disks without a crash, read without other files."""

import io
import math
import os
import pathlib
from typing import Any

import h5py

from keras_regen.types import StrPath

# Deflate's highest ratio is 1,032.
_MAX_RATIO = 1100


class Hdf5Writer:
    """A new HDF5 file, whose writing fails with an OSError.

    HDF5 delays what it writes, and crashes when the disk is full while it closes. So it
    writes to a Python file that never fails, which keeps the first error for `check`.

    A `with` block gives the `h5py.File`, and closes and checks it.

    Args:
        path: path to write to.

    Attributes:
        file: `h5py.File`.

    Raises:
        OSError: if the file cannot be opened; in `check`, if anything could not be
            written.
    """

    def __init__(self, path: StrPath) -> None:
        self._sink = _Sink(path)
        self.file = h5py.File(self._sink, "w")

    def __enter__(self) -> h5py.File:
        return self.file

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self.close()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raises the error of the first write that failed, if one did."""
        if self._sink.error is not None:
            raise self._sink.error

    def close(self) -> None:
        """Closes the file, without an error."""
        self.file.close()
        self._sink.close()


class _Sink(io.RawIOBase):
    """A file for h5py that records its first error instead of raising it.

    What cannot be written stays in memory, so that HDF5 reads what it wrote and can
    close the file.

    Args:
        path: path of the file.

    Attributes:
        error: exception or None.
    """

    def __init__(self, path):
        super().__init__()
        self.error = None
        self._file = open(path, "w+b", buffering=0)
        self._position = self._size = 0
        self._unwritten = []

    def seek(self, offset, whence=io.SEEK_SET):
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = start[whence] + offset
        return self._position

    def tell(self):
        return self._position

    def write(self, data):
        data = memoryview(data).cast("B")
        start, self._position = self._position, self._position + len(data)
        self._size = max(self._size, self._position)
        self._try(self._write, start, data)
        if self.error is not None:
            self._unwritten.append((start, bytes(data)))
        return len(data)

    def _write(self, start, data):
        self._file.seek(start)
        while data:
            data = data[self._file.write(data) :]

    def readinto(self, buffer):
        buffer = memoryview(buffer).cast("B")
        start, self._position = self._position, self._position + len(buffer)
        self._try(self._read, start, buffer)
        for place, data in self._unwritten:
            low = max(start, place)
            high = min(start + len(buffer), place + len(data))
            if low < high:
                buffer[low - start : high - start] = data[low - place : high - place]
        return len(buffer)

    def _read(self, start, buffer):
        self._file.seek(start)
        while buffer and (count := self._file.readinto(buffer)):
            buffer = buffer[count:]

    def truncate(self, size=None):
        self._size = self._position if size is None else size
        self._try(self._file.truncate, self._size)
        return self._size

    def flush(self):
        """Does nothing: every write goes to the system at once."""

    def close(self):
        # Network file systems may report a full disk here.
        self._try(self._file.close)
        super().close()

    def _try(self, function, *args):
        # Ctrl-C too must not pass through HDF5.
        try:
            if self.error is None or function == self._file.close:
                function(*args)
        except BaseException as error:
            self.error = self.error or error


def open_hdf5(path: StrPath) -> h5py.File:
    """Opens an HDF5 file that need not be trusted.

    Args:
        path: path of the file.

    Returns:
        `h5py.File`, to read. All its links lead to objects of its own, and its values
        are all in the file.

    Raises:
        OSError: if there is no such file, or it is not HDF5.
        ValueError: if it is a directory, has links, or values in other files, or is
            damaged; the message is the reason alone.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise ValueError("it is a directory")
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    file = h5py.File(path)
    try:
        _check_self_contained(file)
    except BaseException as error:
        file.close()
        # What h5py raises, beside OSError, for links and objects that lead nowhere.
        if isinstance(error, RuntimeError | KeyError | TypeError):
            raise ValueError("it is damaged") from error
        raise
    return file


def _check_self_contained(file):
    # A visit ends at the first value that is not None.
    def find_link(name, link):
        if link.type != h5py.h5l.TYPE_HARD:
            return f"its `{name.decode(errors='replace')}` is a link"

    def find_elsewhere(name, item):
        # Not even the shape of a virtual dataset is known without other files.
        if isinstance(item, h5py.Dataset):
            properties = item.id.get_create_plist()
            if item.is_virtual or properties.get_external_count():
                return f"the values of its `{name}` are in another file"

    reason = file.id.links.visit(find_link, info=True)
    if reason := reason or file.visititems(find_elsewhere):
        raise ValueError(reason)


def check_stored(dataset: h5py.Dataset) -> None:
    """Checks that a file is large enough for the values that it declares.

    Args:
        dataset: `h5py.Dataset`, without filters or deflated.

    Raises:
        ValueError: if it is not; the message is the reason alone.
    """
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = min(dataset.id.get_storage_size(), os.path.getsize(dataset.file.filename))
    if declared > _MAX_RATIO * stored:
        raise ValueError(
            f"its `{dataset.name.strip('/')}` declares {declared:,} bytes of values, "
            f"and {stored:,} are stored"
        )
