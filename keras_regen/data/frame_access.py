"""Frames of a video in any order."""

import pathlib

from keras_regen.data.array_file import ArraySource
from keras_regen.data.container_access import ContainerAccess
from keras_regen.data.frame_index import FrameIndex
from keras_regen.data.image_directory import ImageSource
from keras_regen.data.source import UnreadableError
from keras_regen.pixels import to_uint8


class StillAccess:
    """Frames of a directory of images or of an `.npy` file, each on its own.

    Args:
        source: an `ImageSource` or `ArraySource`.
    """

    def __init__(self, source):
        self._source = source
        self.num_frames = source.num_frames

    def index(self):
        """How many frames there are."""
        return FrameIndex(self.num_frames)

    def frames(self, positions, index):
        """Yields the frames at `positions`, uint8 arrays of shape `(H, W, 3)`."""
        for position in positions:
            yield to_uint8(self._source.read(position))

    def close(self):
        """Closes the file."""
        self._source.close()


def open_access(path):
    """Opens a video of any kind for reading in any order.

    Returns:
        An object with `num_frames`, the header's word or None; `index()`, a
        `FrameIndex`; `frames(positions, index)`, which yields the frames at ascending
        positions, as `av.VideoFrame` or uint8 array; and `close()`.

    Raises:
        UnreadableError or OSError: if it cannot be read.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise UnreadableError("there is no such file")
    if path.is_dir():
        return StillAccess(ImageSource(path))
    if path.suffix.lower() == ".npy":
        return StillAccess(ArraySource(path))
    return ContainerAccess(path)
