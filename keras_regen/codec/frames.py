"""The frames of a video, from any source, checked and grouped into chunks."""

import collections
import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Self, TypeAlias

import numpy as np

from keras_regen.backend import to_numpy
from keras_regen.checks import FPS_RANGE, check_real
from keras_regen.codec.pipeline import Prefetcher
from keras_regen.latents import ChunkLayout
from keras_regen.pixels import FRAME_DTYPES
from keras_regen.types import StrPath
from keras_regen.video import DEFAULT_FPS, VideoReader

VideoLike: TypeAlias = StrPath | VideoReader | np.ndarray | Iterable[np.ndarray]

# A chunk's number, and the range of frames that no chunk before it has.
Span = collections.namedtuple("Span", "number start stop")


@contextlib.contextmanager
def open_frames(
    video: VideoLike,
    fps: float | None = None,
    on_read: Callable[[np.ndarray], object] | None = None,
) -> Iterator["Frames"]:
    """Opens the frames of a video for the length of a `with` block.

    Args:
        video: a path; a `VideoReader`; an array of shape `(T, H, W, 3)`; or an iterable
            of frames of shape `(H, W, 3)`. uint8, or float in [-1, 1].
        fps: float or None. Frames per second. Defaults to the file's, or 25.
        on_read: callable or None. Called with every frame when it has been read, in the
            thread that reads.

    Returns:
        `Frames`.

    Raises:
        ValueError: if the video or its first frame is not as above; for a later frame
            when it is taken.
    """
    if fps is not None:
        check_real(*FPS_RANGE, fps=fps)
    with contextlib.ExitStack() as stack:
        if isinstance(video, str | os.PathLike):
            video = stack.enter_context(VideoReader(video, fps))
        source, own_fps, count, live = _source(video)
        frames = Frames(
            _checked(source, on_read), fps or own_fps or DEFAULT_FPS, count, live
        )
        if isinstance(video, VideoReader):
            frames.pixel_aspect = video.pixel_aspect.as_integer_ratio()
            frames.timestamps = None if fps else video.timestamps
        yield stack.enter_context(contextlib.closing(frames))


class Frames:
    """An iterator over frames, all of one shape and dtype.

    Args:
        frames: iterator of arrays of shape `(H, W, 3)`, at least one.
        fps: float. Frames per second.
        count: int or None. The number of frames, which may be an estimate, or None
            where it is not known.
        live: bool. Whether the frames come from the caller's own iterator, which may
            have to wait for them, and may have to run in the caller's thread.

    Attributes:
        fps: float.
        count: int or None.
        live: bool.
        height: int. Rows of a frame.
        width: int. Columns of a frame.
        dtype: str. The dtype of a frame.
        pixel_aspect: pair of int. Width and height of a pixel.
        timestamps: `Timestamps` of a file, or None.
    """

    pixel_aspect = (1, 1)
    timestamps = None

    def __init__(
        self,
        frames: Iterator[np.ndarray],
        fps: float,
        count: int | None,
        live: bool = False,
    ) -> None:
        self.fps = fps
        self.count = count
        self.live = live
        first = next(frames)
        self.height, self.width, _ = first.shape
        self.dtype = str(first.dtype)
        self._frames = Prefetcher(itertools.chain([first], frames))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> np.ndarray:
        return next(self._frames)

    def times(self, start: int, stop: int) -> np.ndarray | None:
        """Returns the times of frames that were read; see `Timestamps.between`."""
        return self.timestamps and self.timestamps.between(start, stop)

    def read_ahead(self, depth: int) -> None:
        """Reads `depth` frames ahead from now on, in a thread, unless they are live."""
        if not self.live:
            self._frames.start(depth)

    def settle(self) -> None:
        """Waits until nothing is being read.

        Then the caller may use or close the reader that the frames come from.
        """
        self._frames.wait()

    def close(self) -> None:
        """Ends the thread."""
        self._frames.close()


def _source(video):
    """Returns an iterator of frames, their rate and number if known, and `live`."""
    if isinstance(video, VideoReader):
        return iter(video), video.fps, video.num_frames, False
    if hasattr(video, "shape"):
        video = to_numpy(video)
        if video.ndim != 4 or video.shape[-1] != 3 or 0 in video.shape:
            raise ValueError(
                "A video must have shape (T, H, W, 3): frames, height, width, RGB. "
                f"Received: video.shape={video.shape}"
            )
        return iter(video), None, len(video), False
    is_file = isinstance(video, bytes | bytearray | dict) or hasattr(video, "read")
    if is_file or not (hasattr(video, "__iter__") or hasattr(video, "__getitem__")):
        raise ValueError(
            "A video must be a path, an array or an iterable of frames; write a file "
            "that is in memory to a temporary one. "
            f"Received: {type(video).__name__}"
        )
    return iter(video), None, None, True


def _checked(frames, on_read):
    """Yields the frames as arrays, or raises ValueError for a frame that is wrong."""
    first = None
    for number, frame in enumerate(frames):
        if isinstance(frame, str | bytes | os.PathLike | dict):
            raise ValueError(
                "A frame must be an array; for images in files, give the path of their "
                f"directory. Received: frame {number}, {frame!r:.200}"
            )
        frame = to_numpy(frame)
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
                f"Every frame must be like the first, {first[1]} of shape {first[0]}. "
                f"Received: frame {number}, {frame.dtype} of shape {frame.shape}"
            )
        if on_read is not None:
            on_read(frame)
        yield frame
    if first is None:
        raise ValueError("A video must have at least one frame. Received: no frames")


class ChunkReader:
    """Groups frames into chunks, padded with the last frame and with the edge pixels.

    All groups are read into one array, so memory neither grows nor fragments.

    Args:
        frames: `Frames`.
        layout: a `ChunkLayout`.
        chunk_shape: tuple of int, `(k + 1, height, width, 3)`, at least as large as the
            frames.
        chunks_at_once: int. Chunks in a group.
    """

    def __init__(
        self,
        frames: Frames,
        layout: ChunkLayout,
        chunk_shape: tuple[int, ...],
        chunks_at_once: int,
    ) -> None:
        self._frames = frames
        self._layout = layout
        self._chunks = np.empty(
            (chunks_at_once, *chunk_shape),
            "uint8" if frames.dtype == "uint8" else "float32",
        )
        self._number = self._start = 0

    def read(self) -> tuple[np.ndarray, list[Span]]:
        """Reads a group.

        Returns:
            Pair of an array of shape `(n, k + 1, height, width, 3)`, valid until the
            next group is read, and a list of n `Span`. Both are empty at the end.
        """
        spans: list[Span] = []
        for chunk in self._chunks:
            # A shared frame is the last of the chunk that was read before.
            shared = 1 if self._number and self._layout.chunking == "shared" else 0
            if shared:
                chunk[0] = self._chunks[len(spans) - 1, -1]
            count = shared
            for frame in itertools.islice(self._frames, len(chunk) - shared):
                _copy_padded(frame, chunk[count])
                count += 1
            if count == shared:
                break
            chunk[count:] = chunk[count - 1]
            stop = self._start + count - shared
            spans.append(Span(self._number, self._start, stop))
            self._number, self._start = self._number + 1, stop
        return self._chunks[: len(spans)], spans


def _copy_padded(frame, target):
    """Copies a frame into a larger one, whose other pixels repeat its edges."""
    height, width, _ = frame.shape
    target[:height, :width] = frame
    target[height:, :width] = frame[-1]
    target[:, width:] = target[:, width - 1 : width]
