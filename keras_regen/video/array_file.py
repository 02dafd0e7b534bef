"""Videos as arrays in `.npy` files, read and written frame by frame."""

import math

import numpy as np

from keras_regen.pixels import FRAME_DTYPES
from keras_regen.video.source import StillSource, UnreadableError


class ArraySource(StillSource):
    """The frames of an `.npy` file.

    The file is read, not memory-mapped: pages of a mapped file count as memory of the
    process.
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
            raise UnreadableError("it is in Fortran order; save it in C order")
        self.num_frames, *self._shape = shape
        self._start = self._file.tell()

    def read(self, position):
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
    """Writes frames to an `.npy` file.

    Args:
        path: path to write to.
        frame: the first frame. All others have its shape and dtype.
    """

    def __init__(self, path, frame):
        self._file = path.open("wb")
        self._shape, self._dtype = frame.shape, frame.dtype
        self._count = 0
        self._write_header()

    def _write_header(self):
        # NumPy pads the header, so a larger first axis fits in when it is rewritten.
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
        """Closes the file; `flush` first writes the number of frames."""
        if flush:
            self._file.seek(0)
            self._write_header()
        self._file.close()
