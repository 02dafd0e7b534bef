"""What videos of every kind have in common."""

import abc
import dataclasses

import numpy as np


class UnreadableError(Exception):
    """A video cannot be read from here on: the message says why."""


class Source(abc.ABC):
    """Frames of a file or directory, in order.

    Iterating yields arrays of shape `(H, W, 3)`. Where a frame cannot be read it raises
    `UnreadableError` or OSError.

    Attributes:
        fps: float or None, if it carries no frame rate.
        num_frames: int or None. Can be an estimate.
    """

    fps = None
    num_frames = None

    @abc.abstractmethod
    def __iter__(self):
        pass

    @abc.abstractmethod
    def close(self):
        """Closes the file."""


@dataclasses.dataclass(frozen=True)
class FrameIndex:
    """How many frames a video has and, in a container, when each is shown.

    Args:
        num_frames: int. Frames that can be read, exactly.
        pts: int64 array, the frames' timestamps, ascending; or None, if frames can only
            be counted from the start.
        keyframes: int64 array, positions of the frames that decoding can start at,
            ascending and beginning with 0; or None.
        damage: str or None. Why there are not as many frames as there should be.
    """

    num_frames: int
    pts: np.ndarray | None = None
    keyframes: np.ndarray | None = None
    damage: str | None = None

    def keyframe_before(self, position):
        """Which of `keyframes` to start at for a frame: the last up to it."""
        return int(np.searchsorted(self.keyframes, position, side="right")) - 1
