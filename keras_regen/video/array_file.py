"""Videos as arrays in `.npy` files, read and written frame by frame."""

import math
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from keras_regen.pixels import FRAME_DTYPES
from keras_regen.video.source import (
    FrameIndex,
    StillSource,
    UnreadableError,
    check_size,
)

# Bytes. The header of a video has 128; Python takes long to parse a malicious one.
MAX_HEADER_SIZE = 1024


class ArraySource(StillSource):
    """The frames of an `.npy` file.

    The file is read, not memory-mapped: pages of a mapped file count as memory of the
    process. No pickle is ever loaded.

    Args:
        path: path.
        max_pixels: int. Largest number of pixels of a frame.
    """

    def __init__(self, path: pathlib.Path, max_pixels: int) -> None:
        self._file = path.open("rb")
        try:
            self._read_header(max_pixels)
        except BaseException:
            self.close()
            raise

    def _read_header(self, max_pixels):
        try:
            version = np.lib.format.read_magic(self._file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran_order, self._dtype = read(self._file, MAX_HEADER_SIZE)
        # NumPy parses the header as Python, which raises exceptions of any type.
        except Exception as error:
            reason, *_ = str(error).partition("\n")
            raise UnreadableError(f"it is not an .npy file: {reason}") from error
        if len(shape) != 4 or shape[-1] != 3 or min(shape) < 0 or 0 in shape[1:]:
            raise UnreadableError(f"its shape is {shape}, not (T, H, W, 3)")
        if self._dtype.newbyteorder("=") not in map(np.dtype, FRAME_DTYPES):
            raise UnreadableError(f"its dtype is {self._dtype}, not uint8 or float")
        if fortran_order:
            raise UnreadableError("it is in Fortran order; save it in C order")
        num_frames, height, width, _ = shape
        self._shape = height, width, 3
        check_size(height, width, max_pixels)
        self._frame_size = math.prod(self._shape) * self._dtype.itemsize
        self._start = self._file.tell()
        size = os.fstat(self._file.fileno()).st_size - self._start
        self.num_frames = min(num_frames, size // self._frame_size)
        self._damage = "the file ends" if self.num_frames < num_frames else None

    def __iter__(self) -> Iterator[np.ndarray]:
        yield from super().__iter__()
        if self._damage:
            raise UnreadableError(self._damage)

    def index(self) -> FrameIndex:
        return FrameIndex(self.num_frames, damage=self._damage)

    def read(self, position: int) -> np.ndarray:
        self._file.seek(self._start + int(position) * self._frame_size)
        size = math.prod(self._shape)
        values = np.fromfile(self._file, self._dtype, size)
        if values.size < size:
            raise UnreadableError("the file ends")
        values = values.astype(self._dtype.newbyteorder("="), copy=False)
        return values.reshape(self._shape)

    def close(self) -> None:
        super().close()
        self._file.close()


class ArrayEncoder:
    """Writes frames to an `.npy` file.

    Args:
        path: path to write to.
        frame: the first frame. All others have its shape and dtype.
    """

    def __init__(self, path: pathlib.Path, frame: np.ndarray) -> None:
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

    def write(
        self, array: np.ndarray, time: float | None, duration: float | None
    ) -> None:
        """Appends a frame; the file keeps no times."""
        self._file.write(array.tobytes())
        self._count += 1

    def close(self, flush: bool) -> None:
        """Closes the file; `flush` first writes the number of frames."""
        if flush:
            self._file.seek(0)
            self._write_header()
        self._file.close()
