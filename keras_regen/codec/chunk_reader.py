"""Frames to chunks."""

import collections
import itertools

import numpy as np

Span = collections.namedtuple("Span", "number start stop")


class ChunkReader:
    """Groups frames into chunks, filled up with what is at their ends.

    All groups are read into one array, so memory neither grows nor falls to pieces.

    Args:
        frames: iterator of arrays of shape `(H, W, 3)`, all alike.
        layout: a `Chunking`.
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
