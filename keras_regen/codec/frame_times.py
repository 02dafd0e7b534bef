"""When the frames of an output lie in the video."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class EvenTimes:
    """Evenly spaced times without end, `start + step * number`.

    There are some before the first, too: a chunk is decoded at all that it can show,
    whether the output has begun or not, so it comes out alike whatever is decoded
    beside it.

    Args:
        start: float. Time of frame 0 of the output, in frames of the video.
        step: float. Time between frames.
    """

    start: float
    step: float

    def __getitem__(self, number):
        return self.start + self.step * np.asarray(number, "float64")

    def within(self, low, high):
        """Numbers of the first in an open interval, and of the first after it."""
        first = np.floor((low - self.start) / self.step) + 1
        last = np.ceil((high - self.start) / self.step)
        return int(first), int(last)


class ListedTimes:
    """Times one by one.

    Args:
        times: ascending float64 array of shape `(count,)`.
    """

    def __init__(self, times):
        self._times = times

    def __getitem__(self, number):
        # After the last one, that one again.
        return self._times[np.clip(number, 0, len(self._times) - 1)]

    def within(self, low, high):
        """Numbers of the first in an open interval, and of the first after it."""
        first = np.searchsorted(self._times, low, side="right")
        last = np.searchsorted(self._times, high, side="left")
        return int(first), int(last)
