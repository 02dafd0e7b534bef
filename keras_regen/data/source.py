"""What videos of every kind have in common."""

import abc

# What frames may consist of; floats in [-1, 1].
FRAME_DTYPES = ("uint8", "float16", "float32", "float64")


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
