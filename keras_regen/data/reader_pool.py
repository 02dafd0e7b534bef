"""Videos kept open for the next clip."""

import contextlib
import os
import threading

import numpy as np

from keras_regen.video import open_access


class ReaderPool:
    """Open videos, the one used longest ago closed first.

    A reader is lent to one thread at a time; a second thread that wants the same video
    gets another. A copy in another process, forked or pickled, starts empty.

    Args:
        max_open: int. Videos open at once, at most. A thread waits where all are lent.
    """

    def __init__(self, max_open):
        self.max_open = max_open
        self._reset()

    def _reset(self):
        self._process = os.getpid()
        self._changed = threading.Condition()
        # Pairs of path and reader, the one used last at the end.
        self._idle = []
        self.num_open = 0

    @contextlib.contextmanager
    def reader(self, path):
        """Lends the reader of a video.

        Args:
            path: str.

        Yields:
            What `open_access` returns.

        Raises:
            UnreadableError or OSError: if the video cannot be opened.
        """
        if os.getpid() != self._process:
            self._forget()
        reader = self._take(path)
        try:
            yield reader
        except BaseException:
            # What it was doing is unknown.
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
        # After a fork: the file offsets are shared with the parent, and whoever held
        # the lock is not here.
        idle = self._idle
        self._reset()
        for _, reader in idle:
            reader.close()

    def close(self):
        """Closes the readers that are not lent."""
        with self._changed:
            while self._idle:
                self._idle.pop()[1].close()
                self.num_open -= 1

    def __del__(self, getpid=os.getpid):
        # As the interpreter ends, modules are gone.
        if getpid() == self._process:
            self.close()

    def __getstate__(self):
        return {"max_open": self.max_open}

    def __setstate__(self, state):
        self.__init__(**state)


class FrameCache:
    """Whole videos as decoded, until the memory is full; none is given up for another.

    Frames are kept before they are converted and resized, so that clips do not depend
    on whether they come from here. A pickled copy starts empty.

    Args:
        max_bytes: int. Bytes of frames, at most.
    """

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self._reset()

    def _reset(self):
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._videos = {}
        # Videos that are being decoded, that do not fit or that cannot be read whole.
        self._refused = set()
        self.num_bytes = 0

    def frames(self, path, reader, index):
        """All frames of a video, or None if it is not kept.

        Args:
            path: str.
            reader: its reader, which it is decoded with the first time.
            index: its `FrameIndex`.

        Returns:
            List of frames as `reader` yields them, or None.
        """
        if not self.max_bytes:
            return None
        if os.getpid() != self._process:
            self._reset()
        with self._lock:
            if path in self._videos or path in self._refused:
                return self._videos.get(path)
            self._refused.add(path)
        frames, reserved = [], 0
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

    def __getstate__(self):
        return {"max_bytes": self.max_bytes}

    def __setstate__(self, state):
        self.__init__(**state)


def _num_bytes(frame):
    if isinstance(frame, np.ndarray):
        return frame.nbytes
    return sum(plane.buffer_size for plane in frame.planes)
