"""The frames of a video, from wherever they come."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import numpy as np

from keras_regen.data.source import FRAME_DTYPES
from keras_regen.data.video_reader import DEFAULT_FPS, VideoReader


@dataclasses.dataclass
class Frames:
    """Checked frames in order.

    Args:
        iterator: yields arrays of shape `(H, W, 3)`, all of one shape and dtype.
        fps: float. Frames per second.
        count: int or None, where it is not known. Can be an estimate.
    """

    iterator: Iterator
    fps: float
    count: int | None


@contextlib.contextmanager
def open_frames(video, fps=None):
    """The frames of a video for the length of a `with` block.

    Args:
        video: a path; a `VideoReader`; an array of shape `(T, H, W, 3)`; or an iterable
            of frames of shape `(H, W, 3)`. uint8, or float in [-1, 1].
        fps: float or None. Frames per second. Defaults to the file's, or 25.

    Returns:
        `Frames`.

    Raises:
        ValueError: if the video or a frame is not as above; for a frame when it is
            taken.
    """
    if fps is not None and not 0 < fps < float("inf"):
        raise ValueError(f"`fps` must be positive. Received: fps={fps}")
    if isinstance(video, str | os.PathLike):
        with VideoReader(video, fps) as reader:
            yield Frames(_checked(reader), reader.fps, reader.num_frames)
    elif isinstance(video, VideoReader):
        yield Frames(_checked(video), fps or video.fps, video.num_frames)
    elif hasattr(video, "shape"):
        video = np.asarray(video)
        if video.ndim != 4 or video.shape[-1] != 3 or 0 in video.shape:
            raise ValueError(
                "A video must have shape (T, H, W, 3): frames, height, width, RGB. "
                f"Received: video.shape={video.shape}"
            )
        yield Frames(_checked(video), fps or DEFAULT_FPS, len(video))
    else:
        try:
            frames = iter(video)
        except TypeError as error:
            raise ValueError(
                "A video must be a path, an array or an iterable of frames. "
                f"Received: {type(video).__name__}"
            ) from error
        yield Frames(_checked(frames), fps or DEFAULT_FPS, None)


def _checked(frames):
    first = None
    for number, frame in enumerate(frames):
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
            raise ValueError(
                "A frame must have shape (H, W, 3). "
                f"Received: frame {number} with shape={frame.shape}"
            )
        if frame.dtype not in FRAME_DTYPES:
            raise ValueError(
                f"A frame must be one of {', '.join(FRAME_DTYPES)}. "
                f"Received: frame {number} with dtype={frame.dtype}"
            )
        if frame.dtype != "uint8" and not np.all(np.abs(frame) <= 1 + 1e-3):
            raise ValueError(
                "A float frame must be finite and in [-1, 1]. Received: frame "
                f"{number} with values from {frame.min():.4g} to {frame.max():.4g}"
            )
        if first is None:
            first = frame.shape, frame.dtype
        if (frame.shape, frame.dtype) != first:
            raise ValueError(
                f"Every frame must be as the first, {first[1]} of shape {first[0]}. "
                f"Received: frame {number}, {frame.dtype} of shape {frame.shape}"
            )
        yield frame
    if first is None:
        raise ValueError("A video must have at least one frame. Received: no frames")
