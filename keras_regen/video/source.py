"""The common interface of everything that frames are read from."""

import abc
import dataclasses
import fractions
import functools
import pathlib
import stat
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_regen.pixels import to_uint8
from keras_regen.video.timestamps import Timestamps

# The largest picture of H.264, HEVC, VP9 and AV1 at the highest levels that 8K has.
MAX_PIXELS = 35_651_584
# Frames per second that every container holds, and FFmpeg's 32-bit fractions.
MIN_FPS, MAX_FPS = 0.01, 100_000
KINDS = {
    stat.S_ISDIR: "a directory",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


class UnreadableError(Exception):
    """A video cannot be read any further; the message says why."""


@dataclasses.dataclass(frozen=True)
class FrameIndex:
    """The number of frames of a video and, in a container, when each is shown.

    Args:
        num_frames: int. Exact number of readable frames.
        pts: int64 array, the frames' timestamps, ascending; or None if frames can only
            be counted from the start.
        keyframes: int64 array, positions of the frames at which decoding can start,
            ascending, the first one 0; or None.
        damage: str or None. Why there are fewer frames than there should be.
    """

    num_frames: int
    pts: np.ndarray | None = None
    keyframes: np.ndarray | None = None
    damage: str | None = None

    def keyframe_before(self, position: int) -> int:
        """Returns the index in `keyframes` of the last one at or before a frame."""
        keyframes = () if self.keyframes is None else self.keyframes
        return int(np.searchsorted(keyframes, position, side="right")) - 1


class Source(abc.ABC):
    """Frames of a file or directory, in order.

    Iterating yields arrays of shape `(H, W, 3)`. It raises `UnreadableError` or OSError
    at a frame that cannot be read.

    Attributes:
        fps: float, or None if the source carries no frame rate.
        num_frames: int or None. Can be an estimate.
        timestamps: `Timestamps`, to which iterating adds the frames' times; or None if
            the source has no times of its own.
        pixel_aspect: fractions.Fraction. Width to height of a pixel, of the upright
            frame once the first one is read.
        notices: list of str. What is lost, added while iterating.
        is_closed: bool. Whether the file is closed.
    """

    fps: float | None = None
    num_frames: int | None = None
    timestamps: Timestamps | None = None
    pixel_aspect = fractions.Fraction(1)
    is_closed = False

    @functools.cached_property
    def notices(self) -> list[str]:
        return []

    @functools.cached_property
    def _noted(self):
        return set()

    def note(self, notice: str) -> None:
        """Adds a text to `notices`, once."""
        if notice not in self._noted:
            self._noted.add(notice)
            self.notices.append(notice)

    @abc.abstractmethod
    def __iter__(self) -> Iterator[np.ndarray]:
        pass

    def close(self) -> None:
        """Closes the file."""
        self.is_closed = True


class StillSource(Source):
    """Frames that are stored one by one, so that each can be read on its own.

    `num_frames` is exact.
    """

    num_frames: int

    @abc.abstractmethod
    def read(self, position: int) -> np.ndarray:
        """Returns the frame at a position."""

    def __iter__(self) -> Iterator[np.ndarray]:
        for position in range(self.num_frames):
            yield self.read(position)

    def index(self) -> FrameIndex:
        """Returns the `FrameIndex`."""
        return FrameIndex(self.num_frames)

    def frames(self, positions: Iterable[int], index: FrameIndex) -> Iterator[Any]:
        """Yields the frames at `positions`, uint8 arrays of shape `(H, W, 3)`."""
        for position in positions:
            yield to_uint8(self.read(position))


def check_is_file(path: pathlib.Path) -> None:
    """Checks that opening a path gives a file that ends.

    Opening a named pipe waits until another process writes to it.

    Raises:
        UnreadableError: if the path is missing or something else than a file.
    """
    try:
        mode = pathlib.Path(path).stat().st_mode
    # A path with a null byte is a ValueError.
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise UnreadableError("there is no such file") from error
    for is_kind, name in KINDS.items():
        if is_kind(mode):
            raise UnreadableError(f"it is {name}, not a file")


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Raises `UnreadableError` if frames have more pixels than allowed."""
    if height * width > max_pixels:
        raise UnreadableError(
            f"its frames have {height}x{width} pixels, and the limit is "
            f"max_pixels={max_pixels}"
        )
