"""The times of a video's frames, where the frame rate varies."""

import array
import math
import reprlib
from typing import TYPE_CHECKING

import numpy as np

from keras_regen.checks import MAX_SECONDS

if TYPE_CHECKING:
    from keras_regen.latents.latents import Latents


def check_times(times: np.ndarray, num_frames: int) -> np.ndarray:
    """Returns times of frames as a float64 array, or raises ValueError."""
    times = np.asarray(times)
    good = times.shape == (num_frames + 1,) and times.dtype.kind in "fiu"
    good = good and np.all(np.isfinite(times)) and np.all(np.diff(times) > 0)
    if not good or times[0] < 0 or times[-1] > MAX_SECONDS:
        raise ValueError(
            f"`times` must be {num_frames + 1} ascending numbers of seconds, from 0 to "
            f"{MAX_SECONDS:.0e}. Received: times={reprlib.repr(times)}"
        )
    return times.astype("float64", copy=False)


class FrameTimes:
    """The times of latents that arrive piece by piece, 8 bytes a frame.

    Attributes:
        values: float64 array of all times, or None if all have a constant rate.
    """

    def __init__(self) -> None:
        self._start: int | None = None
        self._end = math.nan
        self._starts: array.array[float] | None = None

    def append(self, piece: "Latents") -> None:
        """Adds the times of a piece, which follows the one before."""
        if self._start is None:
            self._start = piece.start
        if self._starts is None and not piece.is_constant_rate:
            before = np.arange(self._start, piece.start) / piece.fps
            self._starts = array.array("d", before.tobytes())
        if self._starts is not None:
            times = piece.frame_times
            self._starts.frombytes(times[:-1].tobytes())
            self._end = times[-1]

    @property
    def values(self) -> np.ndarray | None:
        if self._starts is None:
            return None
        return np.append(np.frombuffer(self._starts), self._end)
