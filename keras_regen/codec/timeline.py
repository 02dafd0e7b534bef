"""The chunks to decode, and the times at which their frames are shown."""

import collections
import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from keras_regen.checks import FPS_RANGE, check_real
from keras_regen.latents import ChunkLayout, Latents, as_latents
from keras_regen.types import StrPath

# A chunk's number, its latents as a float32 array `(2, rows, columns, C)`, its noise as
# an array `(tiles, F, rows, columns, 3)` or None, and whether no chunk follows.
Chunk = collections.namedtuple("Chunk", "number latents noise is_last")
# The frames of a piece, from `start` to `stop - 1`, and the seconds at which they are
# shown, and at which the last one ends.
_Seconds = collections.namedtuple("_Seconds", "start stop times")

# Among this many chunks there is one with the most evenly spaced times that a chunk can
# have.
_MAX_CHUNKS_TO_COUNT = 1024
LatentsLike: TypeAlias = Latents | StrPath | Iterable[Latents]

# Times that are listed in memory, 8 bytes each.
_MAX_LISTED = 10**8


class Timeline:
    """The chunks of a video, and the times of the frames to decode.

    Args:
        latents: `Latents`, the path of their file, or an iterable of consecutive
            `Latents`.
        fps: float or None. Frames per second of the output. By default every frame is
            shown at its own time.
        speed: float. How much faster than the video it plays.
        times: array or None. Instead of both: ascending times in frames from the first
            of `latents`.
        live: bool or None. Whether latents may have to be waited for. Defaults to
            whether they are an iterable.
        keeps_times: bool. Whether `shown_at` will be called. Defaults to `False`.

    Attributes:
        first: `Latents`. The first piece, which describes the others.
        fps: float. Frames per second of the output.
        times: the times to decode, in frames of the whole video, by frame number of the
            output.
        count: int or None. The number of frames of the output; where latents come piece
            by piece it is None until the last piece.
        live: bool. Whether latents may have to be waited for.

    Raises:
        ValueError: if an argument is not as above; later, if pieces of a variable rate
            arrive and `fps` is given, or the last piece ends before `times` do.
    """

    def __init__(
        self,
        latents: LatentsLike,
        fps: float | None = None,
        speed: float = 1.0,
        times: ArrayLike | None = None,
        live: bool | None = None,
        keeps_times: bool = False,
    ) -> None:
        if times is not None and (fps is not None or speed != 1):
            raise ValueError(
                "Give `times`, or `fps` and `speed`. "
                f"Received: times={times}, fps={fps}, speed={speed}"
            )
        if fps is not None:
            check_real(*FPS_RANGE, fps=fps)
        check_real(*FPS_RANGE, speed=speed)
        if isinstance(latents, Latents | str | os.PathLike):
            latents = as_latents(latents)
            pieces, stop = iter([latents]), latents.stop
        else:
            pieces = iter(latents if isinstance(latents, Iterable) else ())
            stop = None
        first = next(pieces, None)
        if not isinstance(first, Latents):
            raise ValueError(
                "To decode, give Latents, the path of their file or an iterable of "
                f"Latents. Received: {type(latents).__name__}"
            )
        self.first = first
        self._pieces = itertools.chain([first], pieces)
        self.live = stop is None if live is None else live
        self.fps = fps or self.first.fps
        self._speed = speed
        self._fps_is_given = fps is not None
        # The times of pieces of a variable rate, until all of their frames are shown.
        self._keeps_times = keeps_times
        self._variable: collections.deque[_Seconds] = collections.deque()
        self.times: _EvenTimes | _ListedTimes
        self.count: int | None
        if stop is not None and fps and not self.first.is_constant_rate:
            self.times = _ListedTimes(_resampled(self.first, fps, speed))
            self.count = len(self.times)
        elif times is None:
            self.times = _EvenTimes(first.start, speed * first.fps / self.fps)
            self.count = None if stop is None else self._count(self.times, stop)
        else:
            length = None if stop is None else stop - self.first.start
            times = _checked(times, length)
            self.times = _ListedTimes(times + self.first.start)
            self.count = len(times)

    def chunks(self) -> Iterator[Chunk]:
        """Yields every `Chunk`, in order."""
        chunks = (
            (piece.first_chunk + i, piece.chunks(i, i + 1), piece)
            for piece in map(self._arrived, self._pieces)
            for i in range(piece.num_chunks)
        )
        this = next(chunks)
        while this:
            following = next(chunks, None)
            number, array, piece = this
            if following is not None and following[0] != number + 1:
                raise ValueError(
                    f"Pieces must follow each other: chunk {number + 1} is due. "
                    "Slices must be joined first, with `Latents.join`. "
                    f"Received: chunk {following[0]}"
                )
            if following is None:
                self._end(piece.stop)
            if (piece.noise is None) != (self.first.noise is None):
                raise ValueError(
                    "All pieces must have noise, or none. "
                    f"Received: noise={piece.noise} of chunk {number}"
                )
            noise = None
            if piece.noise is not None:
                i = number - piece.first_chunk
                noise = np.asarray(piece.noise.array[i : i + 1])[0]
            array = np.asarray(array, "float32")
            yield Chunk(number, array, noise, following is None)
            this = following

    def _end(self, stop):
        """Takes the frame after the last, which is unknown until all pieces are here.

        Raises:
            ValueError: if a listed time is not before it.
        """
        if isinstance(self.times, _ListedTimes):
            start = self.first.start
            _checked([self.times[len(self.times) - 1] - start], stop - start)
        elif self.count is None:
            self.count = self._count(self.times, stop)

    def _arrived(self, piece):
        """Keeps the times of a piece's frames, if they are needed."""
        if not piece.is_constant_rate and isinstance(self.times, _EvenTimes):
            if self._fps_is_given:
                raise ValueError(
                    "Pieces of a variable frame rate are decoded at their own times: "
                    "join them with `Latents.join`, or give no `fps`. "
                    f"Received: fps={self.fps}"
                )
            if self._keeps_times:
                self._variable.append(_Seconds(piece.start, piece.stop, piece.times))
        return piece

    def shown_at(self, number: int) -> tuple[float, float] | tuple[None, None]:
        """Returns when a frame of the output is shown, and how long, in seconds.

        To call with ascending numbers of frames that were decoded, if `keeps_times`.

        Returns:
            Pair of float; or `(None, None)` as long as the rate is constant.
        """
        if not self._variable:
            return None, None
        first = self.first.frame_times[0]
        start, end = (self._seconds(self.times[n]) for n in (number, number + 1))
        return (start - first) / self._speed, (end - start) / self._speed

    def _seconds(self, time):
        """Returns the seconds of a time in frames."""
        pieces = self._variable
        while len(pieces) > 1 and time >= pieces[0].stop:
            pieces.popleft()
        piece = pieces[0]
        if time < piece.start:
            return time / self.first.fps
        time = min(time, piece.stop) - piece.start
        frame = min(int(time), len(piece.times) - 2)
        before, after = piece.times[frame : frame + 2]
        return before + (time - frame) * (after - before)

    def decoded(self, layout: ChunkLayout, chunk: int) -> range:
        """Returns the range of the numbers of the frames that a chunk is decoded at.

        Frames before 0 and from `count` on are not part of the output.
        """
        return range(*self.times.within(*layout.window(chunk)))

    def shown(self, layout: ChunkLayout, chunk: int) -> range:
        """Returns the part of `decoded` that belongs to the output."""
        decoded = self.decoded(layout, chunk)
        stop = decoded.stop if self.count is None else min(decoded.stop, self.count)
        return range(max(0, decoded.start), stop)

    def max_frames(self, layout: ChunkLayout) -> int:
        """Returns the most frames that any chunk is decoded at."""
        first = self.first.first_chunk
        if isinstance(self.times, _ListedTimes):
            last = int(self.times[len(self.times) - 1] // layout.stride) + 1
        else:
            last = first + _MAX_CHUNKS_TO_COUNT
        return max(len(self.decoded(layout, c)) for c in range(first, last + 1))

    def _count(self, times, stop):
        return max(1, round((stop - self.first.start) / times.step))


def _resampled(latents, fps, speed):
    """Returns the times, in frames of the video, to show at a constant rate.

    Motion keeps its real speed: between two frames that are shown far apart, more are
    generated.
    """
    count = max(1, round(latents.duration * fps / speed))
    if count > _MAX_LISTED:
        raise ValueError(
            f"A video of a variable frame rate may have {_MAX_LISTED:,} frames. "
            f"Received: fps={fps}, speed={speed}, which makes {count:,}"
        )
    seconds = latents.frame_times
    shown = seconds[0] + np.arange(count) * (speed / fps)
    return np.interp(shown, seconds, np.arange(latents.start, latents.stop + 1))


def _checked(times, length):
    """Returns the times as a float64 array, or raises ValueError."""
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
class _EvenTimes:
    """Evenly spaced times without end, `start + step * number`.

    Numbers below 0 are valid: a chunk is always decoded at all times that it can show,
    also before the output starts, so that its frames do not depend on where the output
    starts.

    Args:
        start: float. Time of frame 0 of the output, in frames of the video.
        step: float. Time between frames.
    """

    start: float
    step: float

    def __getitem__(self, number):
        return self.start + self.step * np.asarray(number, "float64")

    def within(self, low, high):
        """Returns the first number with a time in an open interval, and the stop."""
        first = np.floor((low - self.start) / self.step) + 1
        last = np.ceil((high - self.start) / self.step)
        return int(first), int(last)


class _ListedTimes:
    """Times in a list.

    Args:
        times: ascending float64 array of shape `(count,)`.
    """

    def __init__(self, times):
        self._times = times

    def __len__(self):
        return len(self._times)

    def __getitem__(self, number):
        # Numbers beyond the last time have the last time.
        return self._times[np.clip(number, 0, len(self._times) - 1)]

    def within(self, low, high):
        """Returns the first number with a time in an open interval, and the stop."""
        first = np.searchsorted(self._times, low, side="right")
        last = np.searchsorted(self._times, high, side="left")
        return int(first), int(last)
