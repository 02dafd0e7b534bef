"""Open videos and decoded frames, kept for the clips to come."""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_regen.video import open_access


class ReaderPool:
    """Open videos. The least recently used one is closed first.

    A reader is lent to one thread at a time; a second thread that wants the same video
    gets a second reader. A copy in another process, forked or pickled, starts empty.

    Args:
        max_open: int. Largest number of videos open at once. While all are lent, a
            thread waits. Defaults to `32`.
    """

    def __init__(self, max_open: int = 32) -> None:
        self.max_open = max_open
        self._reset()

    def _reset(self):
        self._process = os.getpid()
        self._changed = threading.Condition()
        # Pairs of path and reader, the most recently used at the end.
        self._idle = []
        self.num_open = 0

    @contextlib.contextmanager
    def reader(self, path: str) -> Iterator[Any]:
        """Lends the reader of a video.

        Args:
            path: str.

        Yields:
            The reader, from `open_access`.

        Raises:
            UnreadableError or OSError: if the video cannot be opened.
        """
        if os.getpid() != self._process:
            self._forget()
        reader = self._take(path)
        try:
            yield reader
        except BaseException:
            # The state of the reader is unknown.
            with self._changed:
                self.num_open -= 1
                self._changed.notify()
            reader.close()
            raise
        with self._changed:
            self._idle.append((path, reader))
            self._changed.notify()

    def _take(self, path):
        with self._changed:
            while True:
                for i in reversed(range(len(self._idle))):
                    if self._idle[i][0] == path:
                        return self._idle.pop(i)[1]
                if self.num_open < self.max_open:
                    self.num_open += 1
                    break
                if self._idle:
                    self._idle.pop(0)[1].close()
                    break
                self._changed.wait()
        try:
            return open_access(path)
        except BaseException:
            with self._changed:
                self.num_open -= 1
                self._changed.notify()
            raise

    def _forget(self):
        # After a fork the file offsets are shared with the parent, and the thread that
        # held the lock does not exist here.
        idle = self._idle
        self._reset()
        for _, reader in idle:
            reader.close()

    def close(self) -> None:
        """Closes the readers that are not lent."""
        with self._changed:
            while self._idle:
                self._idle.pop()[1].close()
                self.num_open -= 1

    def __del__(self, getpid=os.getpid):
        # `os` may be gone when the interpreter ends, hence the default argument.
        if getpid() == self._process:
            self.close()

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return ReaderPool, (self.max_open,)


class FrameCache:
    """All decoded frames of the first videos that fit into memory. None is evicted.

    Frames are kept before they are converted and resized, so clips are the same with
    and without the cache. A copy in another process, forked or pickled, starts empty.

    Args:
        max_bytes: int. Largest number of bytes of frames.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._reset()

    def _reset(self):
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._videos = {}
        # Videos that are being decoded, do not fit or cannot be read to the end.
        self._refused = set()
        self.num_bytes = 0

    def frames(self, path: str, reader: Any, index: Any) -> list[Any] | None:
        """Returns all frames of a video, decoding it the first time.

        Args:
            path: str.
            reader: the reader of the video.
            index: the `FrameIndex` of the video.

        Returns:
            List of frames as `reader` yields them, or None if they are not kept.
        """
        if not self.max_bytes:
            return None
        if os.getpid() != self._process:
            self._reset()
        with self._lock:
            if path in self._videos or path in self._refused:
                return self._videos.get(path)
            self._refused.add(path)
        frames: list[Any] = []
        reserved = 0
        try:
            for frame in reader.frames(range(index.num_frames), index):
                if not frames:
                    reserved = self._reserve(_num_bytes(frame) * index.num_frames)
                    if not reserved:
                        return None
                frames.append(frame)
        except BaseException:
            with self._lock:
                self.num_bytes -= reserved
            raise
        with self._lock:
            self._refused.remove(path)
            self._videos[path] = frames
        return frames

    def _reserve(self, num_bytes):
        with self._lock:
            if self.num_bytes + num_bytes > self.max_bytes:
                return 0
            self.num_bytes += num_bytes
            return num_bytes

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return FrameCache, (self.max_bytes,)


def _num_bytes(frame):
    if isinstance(frame, np.ndarray):
        return frame.nbytes
    return sum(plane.buffer_size for plane in frame.planes)
