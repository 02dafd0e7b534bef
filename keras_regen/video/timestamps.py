"""When the frames of a video are shown."""

import array
import math

import numpy as np

from keras_regen.checks import MAX_SECONDS


class Timestamps:
    """The times of a video's frames, collected while they are read.

    It takes 8 bytes a frame. Times are in seconds from the first frame. A time that is
    missing, or not after the one before, is replaced by that of a constant rate.

    Args:
        fps: float. Mean frames per second.
        tick: float. The unit of the file's timestamps in seconds. Times that are
            rounded to it are still of a constant rate.

    Attributes:
        origin: float. The file's own time of the first frame, in seconds.
    """

    def __init__(self, fps: float, tick: float) -> None:
        self._interval = 1 / fps
        # Both the first time and this one are rounded, or even cut off.
        self._tolerance = 1.5 * tick
        self._starts = array.array("d")
        # Known when all frames are read.
        self._end = math.nan
        self._first_variable: int | None = None
        self.origin = 0.0

    def append(self, time: float | None) -> None:
        """Adds the time of the next frame, in seconds of the file, or None."""
        if not self._starts:
            self.origin = time if time is not None and abs(time) < MAX_SECONDS else 0.0
            self._starts.append(0.0)
            return
        last = self._starts[-1]
        start = MAX_SECONDS if time is None else time - self.origin
        if not last < start < MAX_SECONDS:
            start = last + self._interval
        self._compare(start, self._tolerance)
        self._starts.append(start)

    def finish(self, duration: float | None) -> None:
        """Adds the duration of the last frame, in seconds, or None."""
        if not self._starts:
            return
        if duration is None or not 0 < duration < MAX_SECONDS:
            duration = self._interval
        self._end = self._starts[-1] + duration
        # The last frame of many files is shown a little longer or shorter.
        self._compare(self._end, self._interval)

    def _compare(self, time, tolerance):
        even = len(self._starts) * self._interval
        if self._first_variable is None and abs(time - even) > tolerance:
            self._first_variable = len(self._starts)

    @property
    def is_constant(self) -> bool:
        """Whether all times so far are those of a constant rate."""
        return self._first_variable is None

    def at(self, number: int) -> tuple[float, float]:
        """Returns the time of a frame that was read, and how long it is shown."""
        stop = number + 1
        end = self._starts[stop] if stop < len(self._starts) else self._end
        return self._starts[number], end - self._starts[number]

    def between(self, first: int, stop: int) -> np.ndarray | None:
        """Returns the times of frames `first` to `stop - 1`, and the end of the last.

        Returns:
            Ascending float64 array of shape `(stop - first + 1,)`; or None if the rate
            is constant up to there.
        """
        if self._first_variable is None or self._first_variable > stop:
            return None
        times = np.array(self._starts[first : stop + 1])
        return times if len(times) > stop - first else np.append(times, self._end)
