"""Decoded videos kept in memory."""

import os
import threading

import numpy as np


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
