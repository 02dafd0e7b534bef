"""Reading many videos, some of which may be broken."""

import concurrent.futures
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import av
import numpy as np

from keras_regen.atomic_output import error_reason
from keras_regen.data.crop import Crop, Cropper
from keras_regen.data.reader_pool import FrameCache, ReaderPool
from keras_regen.video import UnreadableError, open_access

logger = logging.getLogger("keras_regen")

# Exceptions that a reader raises for a broken or missing file.
ERRORS = (UnreadableError, OSError, ValueError, MemoryError, av.FFmpegError)


@dataclasses.dataclass(frozen=True)
class Video:
    """A video of a library.

    Args:
        path: str.
        num_frames: int. From the header, or exact if the library is indexed.
        weight: float. How often the video is drawn, relative to others of its length.
    """

    path: str
    num_frames: int
    weight: float


class VideoLibrary:
    """Reads frames of many videos, in any order and from several threads.

    Args:
        weights: dict from path to weight, as `find_videos` returns.
        min_frames: int. Smallest number of frames of a video.
        indexed: bool. Whether to find all frames of all videos now, or only to read
            their headers.
        cache_bytes: int. Bytes of decoded videos to keep in memory.

    Attributes:
        videos: list of `Video`s that can be opened and are long enough.
        skipped: dict from the path of a video, str, to why frames of it cannot be read.

    Raises:
        ValueError: if there is no such video.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        min_frames: int,
        indexed: bool,
        cache_bytes: int,
    ) -> None:
        self._min_frames = min_frames
        self._pool = ReaderPool()
        self._cache = FrameCache(cache_bytes)
        self._indexes: dict[str, Any] = {}
        self.skipped: dict[str, str] = {}
        # Opening files mostly waits for the disk or network: more threads than CPUs.
        with concurrent.futures.ThreadPoolExecutor(max_workers=16) as threads:
            lengths = threads.map(lambda path: self._length(path, indexed), weights)
            self.videos = [
                Video(path, length, weights[path])
                for path, length in zip(weights, lengths, strict=True)
                if length and weights[path] > 0
            ]
        if not self.videos:
            raise ValueError(
                "There must be a video that can be read, of at least "
                f"{min_frames} frames. Received: {len(weights)} videos; "
                f"{self.reasons()}"
            )

    def index(self, path: str) -> Any:
        """Returns the `FrameIndex` of a video, which the first call finds.

        Raises:
            UnreadableError: if the video cannot be read at all or is too short.
        """
        if path not in self._indexes:
            try:
                with self._pool.reader(path) as reader:
                    # Another thread may have found it while this one waited.
                    index = self._indexes.get(path) or reader.index()
                self._check_length(index.num_frames, index.damage)
            except ERRORS as error:
                self.skip(path, error)
                index = None
            else:
                if index.damage:
                    self.skip(path, index.damage)
            self._indexes[path] = index
        if self._indexes[path] is None:
            raise UnreadableError(self.skipped[path])
        return self._indexes[path]

    def read(
        self,
        path: str,
        positions: Sequence[int] | np.ndarray,
        crops: Sequence[Crop],
        out: np.ndarray,
    ) -> None:
        """Reads crops of frames of a video.

        Args:
            path: str.
            positions: ints, ascending.
            crops: a `Crop` for each position.
            out: uint8 array of shape `(T, H, W, 3)` to write to.

        Raises:
            UnreadableError: if one of the frames cannot be read.
        """
        index = self.index(path)
        try:
            with self._pool.reader(path) as reader:
                frames = self._cached(path, reader, index)
                if frames is None:
                    _crop(reader.frames(positions, index), crops, out)
                    return
            _crop((frames[position] for position in positions), crops, out)
        except ERRORS as error:
            self.skip(path, error)
            raise UnreadableError(self.skipped[path]) from error

    def skip(self, path: str, reason: str | Exception) -> None:
        """Records why frames of a video are skipped, and logs it the first time."""
        reason = error_reason(reason)
        if path in self.skipped or self.skipped.setdefault(path, reason) is not reason:
            return
        logger.warning("Skipping the unreadable parts of %s: %s", path, reason)

    def reasons(self) -> str:
        """Returns the first few entries of `skipped`, as text."""
        reasons = [f"{p}: {self.skipped[p]}" for p in sorted(self.skipped)[:3]]
        more = len(self.skipped) - 3
        return "; ".join(reasons) + (f"; and {more} more" if more > 0 else "")

    def _length(self, path, indexed):
        """Returns the number of frames of a video, or 0 if it is skipped."""
        try:
            if not indexed:
                access = open_access(path)
                access.close()
                # The header may be an estimate that is too low.
                if (access.num_frames or 0) >= self._min_frames:
                    return access.num_frames
            return self.index(path).num_frames
        except ERRORS as error:
            self.skip(path, error)
            return 0

    def _check_length(self, length, damage):
        if length < self._min_frames:
            raise UnreadableError(
                damage or f"it has {length} frames, and a clip {self._min_frames}"
            )

    def _cached(self, path, reader, index):
        try:
            return self._cache.frames(path, reader, index)
        except ERRORS:
            # The damaged frame may not be one of the requested frames.
            return None


def _crop(frames, crops, out):
    cropper, size = Cropper(), None
    for i, (frame, crop) in enumerate(zip(frames, crops, strict=True)):
        shape = getattr(frame, "shape", None) or (frame.height, frame.width)
        size = size or shape[:2]
        if shape[:2] != size:
            raise UnreadableError(
                f"a frame is {shape[0]}x{shape[1]} pixels after frames of "
                f"{size[0]}x{size[1]}"
            )
        out[i] = cropper(frame, crop)
