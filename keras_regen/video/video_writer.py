"""Writing videos frame by frame."""

import fractions
import warnings
from collections.abc import Callable
from typing import Any, Self

import av
import numpy as np

from keras_regen.atomic_output import AtomicOutput, error_reason
from keras_regen.checks import check_path, check_real
from keras_regen.pixels import FRAME_DTYPES, to_uint8
from keras_regen.types import StrPath
from keras_regen.video.array_file import ArrayEncoder
from keras_regen.video.image_directory import ImageEncoder
from keras_regen.video.sound import Sound, warn_without_sound
from keras_regen.video.source import MAX_FPS, MIN_FPS
from keras_regen.video.stream_encoders import (
    GifEncoder,
    H264Encoder,
    StreamEncoder,
    StreamSettings,
    Vp9Encoder,
)

CONTAINERS: dict[str, Callable[..., StreamEncoder]] = {
    ".gif": GifEncoder,
    ".mkv": H264Encoder,
    ".mp4": H264Encoder,
    ".webm": Vp9Encoder,
}
SUFFIXES = (*CONTAINERS, ".npy")
SUFFIXES_WITH_SOUND = (".mkv", ".mp4", ".webm")


class VideoWriter:
    """Writes a video frame by frame, in constant memory.

    The video appears at `path` when the `with` block ends without an error, or with
    `close`. Until then, and after an error, a file that was there before stays as it
    was.

    MP4 and MKV hold H.264 of high quality; where a side is odd, chroma has full
    resolution, which some players do not support. WebM holds VP9. GIF has 256 colours a
    frame, and each frame lasts a whole number of hundredths of a second. PNG images and
    `.npy` keep every value but no frame rate. Every format keeps odd sizes. MP4, MKV
    and WebM hold sound; if they cannot hold a codec, or another format is written, one
    line is logged and the video has none.

    Args:
        path: path ending in `.mp4`, `.mkv`, `.webm`, `.gif` or `.npy`; or without a
            suffix, a new or empty directory for numbered images.
        fps: float. Frames per second, from 0.01 to 100,000. For frames with times of
            their own, their mean.
        pixel_aspect: fractions.Fraction. Width to height of a pixel, as players show
            it. Defaults to `1`.
        sound: `Sound` or None. Sound to copy into the video, up to the video's end; it
            is closed with the writer. Defaults to None.

    Raises:
        ValueError: at once, if the suffix is not one of these, the directory cannot be
            written to or `fps` is out of range; at the end, if no frame was written.

    Example:

    >>> with VideoWriter("black.mp4", fps=25) as writer:  # doctest: +SKIP
    ...     writer.write(np.zeros((17, 31, 3), "uint8"))
    """

    # Until it is open.
    _is_closed = True

    def __init__(
        self,
        path: StrPath,
        fps: float,
        pixel_aspect: fractions.Fraction = fractions.Fraction(1),
        sound: Sound | None = None,
    ) -> None:
        check_real(MIN_FPS, MAX_FPS, fps=fps)
        self.fps = fractions.Fraction(float(fps)).limit_denominator(65535)
        self.pixel_aspect = fractions.Fraction(pixel_aspect).limit_denominator(65535)
        self._sound = sound if sound and sound.streams else None
        self._output = _open_output(path)
        self.path = self._output.path
        self._suffix = self.path.suffix.lower()
        self._encoder: Any = None
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype | None = None
        self._is_closed = False

    @staticmethod
    def check(path: StrPath) -> None:
        """Raises ValueError unless a video can be written to a path; leaves it."""
        _open_output(path).discard()

    def write(
        self,
        frame: np.ndarray,
        time: float | None = None,
        duration: float | None = None,
    ) -> None:
        """Appends one frame.

        Args:
            frame: array of shape `(H, W, 3)`, RGB: uint8, or float in [-1, 1], which
                all formats but `.npy` round to 256 levels. All frames must have the
                shape and dtype of the first.
            time: float or None. When to show it, in seconds from the start, after the
                frame before. Defaults to the end of the frame before.
            duration: float or None. How long to show it, in seconds, where that is not
                until the time of the next. Defaults to `1 / fps`.

        Raises:
            ValueError: if the shape or dtype of the frame is wrong, the writer is
                closed, or the file cannot be written.
        """
        if self._is_closed:
            raise self._output.error("the writer is closed")
        frame = np.asarray(frame)
        if frame.dtype not in FRAME_DTYPES or frame.ndim != 3 or frame.shape[-1] != 3:
            raise ValueError(
                "A frame must be a uint8 or float array of shape (H, W, 3). "
                f"Received: frame.dtype={frame.dtype}, frame.shape={frame.shape}"
            )
        if 0 in frame.shape:
            raise ValueError(
                f"A frame must have pixels. Received: frame.shape={frame.shape}"
            )
        if self._encoder is None:
            self._shape, self._dtype = frame.shape, frame.dtype
        if (frame.shape, frame.dtype) != (self._shape, self._dtype):
            raise ValueError(
                f"Every frame must be like the first, {self._dtype} of shape "
                f"{self._shape}. Received: frame.dtype={frame.dtype}, "
                f"frame.shape={frame.shape}"
            )
        if self._suffix != ".npy":
            frame = to_uint8(frame)
        try:
            if self._encoder is None:
                self._encoder = self._make_encoder(frame, time is not None)
            self._encoder.write(np.ascontiguousarray(frame), time, duration)
        except (av.FFmpegError, OSError) as error:
            raise self._output.error(error_reason(error)) from error

    def _make_encoder(self, frame, is_timed):
        path = self._output.temporary
        if self._sound and self._suffix not in SUFFIXES_WITH_SOUND:
            warn_without_sound(f"{self._suffix or 'images'} cannot hold it")
            self._sound = None
        if not self._suffix:
            return ImageEncoder(path)
        if self._suffix == ".npy":
            return ArrayEncoder(path, frame)
        settings = StreamSettings(self.fps, self.pixel_aspect, self._sound, is_timed)
        return CONTAINERS[self._suffix](path, settings, *frame.shape[:2])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, *exception: Any
    ) -> None:
        self._close(keep=exception_type is None)

    def close(self) -> None:
        """Ends the video with the frames written so far, where no `with` block does.

        Raises:
            ValueError: if no frame was written, or the file cannot be written.
        """
        self._close(keep=True)

    def _close(self, keep):
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._encoder is not None:
                self._encoder.close(flush=keep)
            if keep:
                if self._encoder is None:
                    raise self._output.error("no frame was written")
                self._output.commit()
        except (av.FFmpegError, OSError) as error:
            raise self._output.error(error_reason(error)) from error
        finally:
            if self._sound:
                self._sound.close()
            self._output.discard()

    def __del__(self, warn=warnings.warn):
        # `warnings` may be gone when the interpreter ends, hence the default argument.
        if not self._is_closed:
            warn(f"A writer was not closed: {self.path}", ResourceWarning, source=self)


def _open_output(path):
    """Returns the `AtomicOutput` of a video, or raises ValueError."""
    path = check_path(path)
    suffix = path.suffix.lower()
    if suffix and suffix not in SUFFIXES:
        raise ValueError(
            f"A video is written as {', '.join(SUFFIXES)}, or as a directory of "
            f"images without a suffix. Received: path={path}"
        )
    return AtomicOutput(path, "video", directory=not suffix)
