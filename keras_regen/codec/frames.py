"""The frames of a video, from wherever they come."""

import collections
import contextlib
import dataclasses
import itertools
import os
from collections.abc import Iterator

import numpy as np

from keras_regen.codec.pipeline import Prefetcher
from keras_regen.pixels import FRAME_DTYPES
from keras_regen.video import DEFAULT_FPS, VideoReader


@dataclasses.dataclass
class Frames:
    """Checked frames in order.

    Args:
        iterator: yields arrays of shape `(H, W, 3)`, all of one shape and dtype.
        fps: float. Frames per second.
        count: int or None, where it is not known. Can be an estimate.
        live: bool. Whether they come from the caller's own iterator: it may have to be
            waited for, and may belong to the thread that it is from.
    """

    iterator: Iterator
    fps: float
    count: int | None
    live: bool = False

    def read_ahead(self, depth):
        """From now on reads so many frames ahead, in a thread, unless they are live."""
        if not self.live:
            self.iterator = Prefetcher(self.iterator, depth)

    def settle(self):
        """Waits until nothing is being read.

        Whoever gets an item may use or close the reader that frames come from.
        """
        if isinstance(self.iterator, Prefetcher):
            self.iterator.wait()

    def close(self):
        """Ends the thread."""
        if isinstance(self.iterator, Prefetcher):
            self.iterator.close()


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
    with contextlib.ExitStack() as stack:
        if isinstance(video, str | os.PathLike):
            video = stack.enter_context(VideoReader(video, fps))
        yield stack.enter_context(contextlib.closing(_frames(video, fps)))


def _frames(video, fps):
    if isinstance(video, VideoReader):
        return Frames(_checked(video), fps or video.fps, video.num_frames)
    if hasattr(video, "shape"):
        video = np.asarray(video)
        if video.ndim != 4 or video.shape[-1] != 3 or 0 in video.shape:
            raise ValueError(
                "A video must have shape (T, H, W, 3): frames, height, width, RGB. "
                f"Received: video.shape={video.shape}"
            )
        return Frames(_checked(video), fps or DEFAULT_FPS, len(video))
    try:
        frames = iter(video)
    except TypeError as error:
        raise ValueError(
            "A video must be a path, an array or an iterable of frames. "
            f"Received: {type(video).__name__}"
        ) from error
    return Frames(_checked(frames), fps or DEFAULT_FPS, None, live=True)


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


Span = collections.namedtuple("Span", "number start stop")


class ChunkReader:
    """Groups frames into chunks, filled up with what is at their ends.

    All groups are read into one array, so memory neither grows nor falls to pieces.

    Args:
        frames: iterator of arrays of shape `(H, W, 3)`, all alike.
        layout: a `ChunkLayout`.
        chunk_shape: tuple of int, `(k + 1, height, width, 3)`, no less than a frame's.
        dtype: of the chunks.
        chunks_at_once: int. Chunks of a group.
    """

    def __init__(self, frames, layout, chunk_shape, dtype, chunks_at_once):
        self._frames = frames
        self._layout = layout
        self._chunks = np.empty((chunks_at_once, *chunk_shape), dtype)
        self._number = self._start = 0

    def read(self):
        """Reads a group.

        Returns:
            Pair of an array of shape `(n, k + 1, height, width, 3)`, valid until the
            next group is read, and a list of `Span`, a chunk's number and the frames
            that no chunk before it has. Both are empty at the end.
        """
        spans = []
        for chunk in self._chunks:
            # The frame in common is at the end of what was read last.
            held = 1 if self._number and self._layout.kind == "shared" else 0
            if held:
                chunk[0] = self._chunks[len(spans) - 1, -1]
            count = held
            for frame in itertools.islice(self._frames, len(chunk) - held):
                _place(chunk[count], frame)
                count += 1
            if count == held:
                break
            chunk[count:] = chunk[count - 1]
            stop = self._start + count - held
            spans.append(Span(self._number, self._start, stop))
            self._number, self._start = self._number + 1, stop
        return self._chunks[: len(spans)], spans


def _place(target, frame):
    """Copies a frame into a larger one and extends its edges."""
    height, width, _ = frame.shape
    target[:height, :width] = frame
    target[height:, :width] = frame[-1]
    target[:, width:] = target[:, width - 1 : width]
