"""What to decode, and when it is shown."""

import collections
import dataclasses
import itertools
import os
from collections.abc import Iterable

import numpy as np

from keras_regen.latents import Latents

Chunk = collections.namedtuple("Chunk", "number latents is_last")

# Chunks after which evenly spaced times have met every number of frames to a chunk.
SAMPLE = 1024


class Timeline:
    """The chunks of a video, and the times at which frames of it are wanted.

    Args:
        latents: `Latents`, the path of their file, or an iterable of consecutive
            `Latents`.
        fps: float or None. Frames per second of the output.
        speed: float. How much faster than the video it plays.
        times: array or None. Instead of both: ascending times in frames from the first
            of `latents`.

    Attributes:
        header: `Latents`, the first of them, which describe the rest.
        fps: float. Frames per second of the output.
        times: `EvenTimes` or `ListedTimes`, in frames of the whole video.
        count: int or None. Frames of the output; known late where latents come one by
            one.
        live: bool. Whether latents come one by one, and may have to be waited for.

    Raises:
        ValueError: if an argument is not as above.
    """

    def __init__(self, latents, fps=None, speed=1.0, times=None):
        if times is not None and (fps is not None or speed != 1):
            raise ValueError(
                "Give `times`, or `fps` and `speed`. "
                f"Received: times={times}, fps={fps}, speed={speed}"
            )
        for name, value in (("fps", fps), ("speed", speed)):
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"`{name}` must be positive. Received: {name}={value}")
        if isinstance(latents, str | os.PathLike):
            latents = Latents.load(latents, lazy=True)
        if isinstance(latents, Latents):
            self.header, self._pieces, stop = latents, iter([latents]), latents.stop
        elif isinstance(latents, Iterable):
            pieces = iter(latents)
            self.header, stop = next(pieces, None), None
            self._pieces = itertools.chain([self.header], pieces)
        if not isinstance(getattr(self, "header", None), Latents):
            raise ValueError(
                "What is decoded must be Latents, the path of their file or an "
                f"iterable of Latents. Received: {type(latents).__name__}"
            )
        self.live = stop is None
        self.fps = fps or self.header.fps
        if times is None:
            step = speed * self.header.fps / self.fps
            self.times = EvenTimes(self.header.start, step)
            self.count = None if stop is None else self._count(stop)
        else:
            length = None if stop is None else stop - self.header.start
            times = _checked(times, length)
            self.times = ListedTimes(times + self.header.start)
            self.count = len(times)

    def chunks(self):
        """Iterator of `Chunk`, in order."""
        chunks = (
            (piece.first_chunk + i, piece.chunks(i, i + 1), piece)
            for piece in self._pieces
            for i in range(piece.num_chunks)
        )
        this = next(chunks)
        while this:
            following = next(chunks, None)
            number, array, piece = this
            if following is not None and following[0] != number + 1:
                raise ValueError(
                    f"Pieces must follow each other: chunk {number + 1} is due. "
                    f"Received: chunk {following[0]}"
                )
            if following is None and self.count is None:
                self.count = self._count(piece.stop)
            yield Chunk(number, np.asarray(array, "float32"), following is None)
            this = following

    def decoded(self, layout, chunk):
        """Range of the frames that a chunk is decoded at, by their numbers.

        Those before 0 and from `count` on are not part of the output.
        """
        return range(*self.times.within(*layout.window(chunk)))

    def shown(self, layout, chunk):
        """Those of them that are part of the output."""
        decoded = self.decoded(layout, chunk)
        stop = decoded.stop if self.count is None else min(decoded.stop, self.count)
        return range(max(0, decoded.start), stop)

    def max_frames(self, layout):
        """The most frames that any chunk is decoded at."""
        first = self.header.first_chunk
        if isinstance(self.times, ListedTimes):
            last = int(self.times[self.count - 1] // layout.stride) + 1
        else:
            last = first + SAMPLE
        return max(len(self.decoded(layout, c)) for c in range(first, last + 1))

    def _count(self, stop):
        return max(1, round((stop - self.header.start) / self.times.step))


def _checked(times, length):
    times = np.asarray(times, "float64")
    good = times.ndim == 1 and times.size and np.all(np.isfinite(times))
    good = good and times[0] >= 0 and np.all(np.diff(times) >= 0)
    if not good or (length is not None and times[-1] >= length):
        raise ValueError(
            "`times` must be a non-empty ascending array, in frames from the first, 0 "
            f"or more and less than {length or 'their number'}. Received: times={times}"
        )
    return times


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
