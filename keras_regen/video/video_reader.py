"""Reading videos in order, frame by frame."""

import logging
import pathlib
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from keras_regen.atomic_output import error_reason
from keras_regen.checks import check_path, check_real
from keras_regen.types import StrPath
from keras_regen.video.animated_webp import (
    WEBP_SUFFIX,
    AnimatedWebpSource,
    is_animated_webp,
)
from keras_regen.video.array_file import ArraySource
from keras_regen.video.container import ContainerSource
from keras_regen.video.image_directory import ImageSource
from keras_regen.video.raw_video import RAW_SUFFIX, RawSource
from keras_regen.video.sound import Sound
from keras_regen.video.source import (
    MAX_FPS,
    MAX_PIXELS,
    MIN_FPS,
    UnreadableError,
    check_is_file,
)

# Frames per second of images and arrays, unless given: FFmpeg's default for images.
DEFAULT_FPS = 25.0
logger = logging.getLogger("keras_regen")


class VideoReader:
    """Reads the frames of a video in order, in constant memory.

    Frames are upright, as an SDR screen shows them: HDR video (PQ and HLG) is
    tone-mapped. Transparent pixels are white in images and animations, and black in
    video. One line is logged of each. For sound, see `Sound`. A reader iterates once: a
    second pass needs a second reader.

    Args:
        path: path of a video in MP4, MOV, MKV, WebM, AVI, MPEG, Ogg, FLV, WMV, MXF,
            GIF, animated WebP or another format that FFmpeg reads from one file, or an
            image; of a directory of numbered images, read in the order of the last
            number in their names; or of an `.npy` file of shape `(T, H, W, 3)`.
            Playlists are refused.
        fps: float or None. Frames per second, from 0.01 to 100,000, in place of the
            file's. Defaults to the file's, or 25 for images and arrays, which have
            none.
        partial: bool. Whether to end a damaged video before the damage instead of
            raising. Defaults to `False`.
        max_pixels: int. Largest number of pixels of a frame: a small file may claim
            frames that do not fit in memory. Defaults to 35,651,584, enough for 8K.

    Attributes:
        fps: float. Mean frames per second.
        timestamps: `Timestamps`, the times of the frames read so far; or None if the
            file has none, or the argument `fps` replaces them.
        pixel_aspect: fractions.Fraction. Width to height of a pixel of the upright
            frame: not 1 in anamorphic video.
        num_frames: int or None. From the container; can be an estimate.
        height: int. Rows of a frame.
        width: int. Columns of a frame.
        dtype: str. `"uint8"`; for arrays also `"float16"`, `"float32"`, `"float64"`.
        damage: str or None. Why a partial read ended early.

    Returns:
        Iterating yields arrays of shape `(height, width, 3)`, RGB.

    Raises:
        ValueError: at once, if the file is missing or is not a video with at least one
            frame; while iterating, at a damaged frame, or if the reader is closed.

    Example:

    >>> from keras_regen.video import bundled_clip
    >>> with VideoReader(bundled_clip()) as reader:
    ...     print(reader.fps, reader.num_frames, next(iter(reader)).shape)
    24.0 36 (240, 424, 3)
    """

    def __init__(
        self,
        path: StrPath,
        fps: float | None = None,
        partial: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.path = check_path(path)
        self.partial = partial
        self.damage: str | None = None
        if fps is not None:
            check_real(MIN_FPS, MAX_FPS, fps=fps)
        try:
            self._source = open_source(path, ContainerSource, max_pixels)
        except (UnreadableError, OSError) as error:
            raise self._error(error_reason(error)) from error
        try:
            self._open(fps)
        except BaseException:
            self.close()
            raise

    def _open(self, fps):
        self._count = 0
        self._frames = self._read()
        # Only a decoded frame proves that the file is a video, and shows its size.
        self._first = next(self._frames, None)
        if self._first is None:
            raise self._error(self.damage or "it has no frames")
        self.height, self.width, _ = self._first.shape
        self.dtype = str(self._first.dtype)
        self.fps = float(fps or self._source.fps or DEFAULT_FPS)
        self.timestamps = None if fps else self._source.timestamps
        self.pixel_aspect = self._source.pixel_aspect
        self.num_frames = self._source.num_frames

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            if self._source.is_closed:
                raise self._error("the reader is closed")
            frame, self._first = self._first, None
            if frame is None and (frame := next(self._frames, None)) is None:
                return
            yield frame

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._source.close()

    def shown_at(self, number: int) -> tuple[float, float] | tuple[None, None]:
        """Returns when a frame that was read is shown, and how long, in seconds.

        Returns:
            Pair of float, the first from the first frame; or `(None, None)` as long as
            the frame rate is constant.
        """
        if self.timestamps is None or self.timestamps.is_constant:
            return None, None
        return self.timestamps.at(number)

    def sound(self) -> Sound | None:
        """Returns the `Sound` of the file, or None if it has none.

        Raises:
            ValueError: if the file cannot be read any more.
        """
        if not isinstance(self._source, ContainerSource):
            return None
        timestamps = self._source.timestamps
        sound = Sound(self.path, origin=timestamps.origin if timestamps else None)
        if sound.streams:
            return sound
        sound.close()
        return None

    def _read(self):
        shape = None
        try:
            for frame in self._source:
                while self._source.notices:
                    logger.warning("%s: %s", self.path, self._source.notices.pop(0))
                shape = shape or frame.shape
                if frame.shape != shape:
                    raise UnreadableError(
                        f"it is {frame.shape[0]}x{frame.shape[1]} pixels after frames "
                        f"of {shape[0]}x{shape[1]}"
                    )
                self._count += 1
                yield frame
        except (UnreadableError, OSError) as error:
            reason = f"it is damaged at frame {self._count}: {error_reason(error)}"
            if not self.partial:
                raise self._error(reason) from error
            self.damage = reason

    def _error(self, reason):
        return ValueError(
            f"Cannot read the video: {reason}. Received: path={self.path}"
        )


def open_source(
    path: StrPath, container: type[ContainerSource], max_pixels: int = MAX_PIXELS
) -> Any:
    """Opens a video of any kind.

    Args:
        path: path.
        container: the class to open video files with: `ContainerSource` or a subclass.
        max_pixels: int. Largest number of pixels of a frame.

    Returns:
        A `Source`.

    Raises:
        UnreadableError or OSError: if the video cannot be read.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return ImageSource(path, max_pixels)
    check_is_file(path)
    if path.suffix.lower() == WEBP_SUFFIX and is_animated_webp(path):
        return AnimatedWebpSource(path, max_pixels)
    kind = {".npy": ArraySource, RAW_SUFFIX: RawSource}
    return kind.get(path.suffix.lower(), container)(path, max_pixels)
