"""Videos as arrays in `.npy` files, a frame at a time."""

import math

import numpy as np

from keras_regen.pixels import FRAME_DTYPES
from keras_regen.video.source import Source, UnreadableError


class ArraySource(Source):
    """The frames of an `.npy` file.

    Read, not mapped: the pages of a mapped file count as the process's memory.
    """

    def __init__(self, path):
        self._file = path.open("rb")
        try:
            self._read_header()
        except (ValueError, EOFError) as error:
            self.close()
            raise UnreadableError(f"it is not an .npy file: {error}") from error
        except BaseException:
            self.close()
            raise

    def _read_header(self):
        version = np.lib.format.read_magic(self._file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran_order, self._dtype = read(self._file)
        if len(shape) != 4 or shape[-1] != 3 or 0 in shape[1:]:
            raise UnreadableError(f"its shape is {shape}, not (T, H, W, 3)")
        if self._dtype.newbyteorder("=") not in map(np.dtype, FRAME_DTYPES):
            raise UnreadableError(f"its dtype is {self._dtype}, not uint8 or float")
        if fortran_order:
            raise UnreadableError("it is in Fortran's order; save it in C's")
        self.num_frames, *self._shape = shape
        self._start = self._file.tell()

    def __iter__(self):
        for position in range(self.num_frames):
            yield self.read(position)

    def read(self, position):
        """The frame at a position."""
        size = math.prod(self._shape)
        self._file.seek(self._start + position * size * self._dtype.itemsize)
        values = np.fromfile(self._file, self._dtype, size)
        if values.size < size:
            raise UnreadableError("the file ends")
        values = values.astype(self._dtype.newbyteorder("="), copy=False)
        return values.reshape(self._shape)

    def close(self):
        self._file.close()


class ArrayEncoder:
    """Frames to an `.npy` file.

    Args:
        path: path to write to.
        frame: the first frame, whose shape and dtype the others have.
    """

    def __init__(self, path, frame):
        self._file = path.open("wb")
        self._shape, self._dtype = frame.shape, frame.dtype
        self._count = 0
        self._write_header()

    def _write_header(self):
        # NumPy leaves room in the header for the first axis to grow.
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._count, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)

    def write(self, array):
        """Appends a frame."""
        self._file.write(array.tobytes())
        self._count += 1

    def close(self, flush):
        """Ends the file."""
        if flush:
            self._file.seek(0)
            self._write_header()
        self._file.close()
