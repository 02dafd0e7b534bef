"""Videos on disk, one frame at a time."""

import pathlib

from keras_regen.video.array_file import ArraySource
from keras_regen.video.container import ContainerSource
from keras_regen.video.image_directory import ImageSource
from keras_regen.video.source import UnreadableError

# What is taken for the frame rate where there is none: FFmpeg's for images.
DEFAULT_FPS = 25.0


class VideoReader:
    """Reads the frames of a video in order, in constant memory.

    Frames come upright, as a player shows them. Sound is ignored, and a variable frame
    rate is read as its mean. Iterating reads on: a second pass needs a second reader.

    Args:
        path: path of anything that FFmpeg reads as video, an image included; of a
            directory of numbered images, read in the order of their last number; or of
            an `.npy` file of shape `(T, H, W, 3)`.
        fps: float or None. Frames per second, for images and arrays, which carry none,
            and in place of what a file says. Defaults to the file's, or 25.
        partial: bool. Whether a file that turns out damaged ends before the damage,
            instead of raising. Defaults to `False`.

    Attributes:
        fps: float. Mean frames per second.
        num_frames: int or None. The container's word, which can be an estimate.
        height: int. Rows of a frame.
        width: int. Columns of a frame.
        dtype: str. `"uint8"`; for arrays also `"float16"`, `"float32"`, `"float64"`.
        damage: str or None. Why a partial reading ended where it did.

    Returns:
        Iterating yields arrays of shape `(height, width, 3)`, RGB.

    Raises:
        ValueError: at once, if the file is missing or is no video with at least one
            frame; while iterating, at the frame where the file turns out damaged.

    Example:

    >>> from keras_regen.video import bundled_clip
    >>> with VideoReader(bundled_clip()) as reader:
    ...     print(reader.fps, reader.num_frames, next(iter(reader)).shape)
    25.0 60 (128, 228, 3)
    """

    def __init__(self, path, fps=None, partial=False):
        self.path = pathlib.Path(path)
        self.partial = partial
        self.damage = None
        if fps is not None and not 0 < fps < float("inf"):
            raise ValueError(f"`fps` must be positive. Received: fps={fps}")
        if not self.path.exists():
            raise self._error("there is no such file")
        try:
            self._source = _source(self.path)
        except (UnreadableError, OSError) as error:
            raise self._error(_reason(error)) from error
        try:
            self._open(fps)
        except BaseException:
            self.close()
            raise

    def _open(self, fps):
        self._count = 0
        self._frames = self._read()
        # Only a decoded frame proves that there is a video, and its true size.
        self._first = next(self._frames, None)
        if self._first is None:
            raise self._error(self.damage or "it has no frames")
        self.height, self.width, _ = self._first.shape
        self.dtype = str(self._first.dtype)
        self.fps = float(fps or self._source.fps or DEFAULT_FPS)
        self.num_frames = self._source.num_frames

    def __iter__(self):
        if self._first is not None:
            frame, self._first = self._first, None
            yield frame
        yield from self._frames

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Closes the file."""
        self._source.close()

    def _read(self):
        shape = None
        try:
            for frame in self._source:
                shape = shape or frame.shape
                if frame.shape != shape:
                    raise UnreadableError(
                        f"it is {frame.shape[0]}x{frame.shape[1]} pixels after frames "
                        f"of {shape[0]}x{shape[1]}"
                    )
                self._count += 1
                yield frame
        except (UnreadableError, OSError) as error:
            reason = f"it is damaged at frame {self._count}: {_reason(error)}"
            if not self.partial:
                raise self._error(reason) from error
            self.damage = reason

    def _error(self, reason):
        return ValueError(
            f"Cannot read the video: {reason}. Received: path={self.path}"
        )


def _source(path):
    if path.is_dir():
        return ImageSource(path)
    if path.suffix.lower() == ".npy":
        return ArraySource(path)
    return ContainerSource(path)


def _reason(error):
    """What the system says, without the number and the path that it adds."""
    return getattr(error, "strerror", None) or str(error)
