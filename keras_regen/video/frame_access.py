"""Reading the frames of a video in any order."""

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import av
import numpy as np

from keras_regen.types import StrPath
from keras_regen.video.container import (
    WITHOUT_TIMESTAMPS,
    ContainerSource,
    unreadable_where_ffmpeg_fails,
)
from keras_regen.video.source import FrameIndex, UnreadableError
from keras_regen.video.video_reader import open_source

# A seek costs about as much as decoding this many frames.
MAX_DECODED_ON = 16


def open_access(path: StrPath) -> Any:
    """Opens a video of any kind for reading in any order.

    Returns:
        An object with `num_frames`, from the header, or None; `index()`, a
        `FrameIndex`; `frames(positions, index)`, which yields the frames at ascending
        positions, as `av.VideoFrame` or uint8 array; and `close()`.

    Raises:
        UnreadableError or OSError: if the video cannot be read.
    """
    return open_source(path, _ContainerAccess)


class _ContainerAccess(ContainerSource):
    """The first video stream of a file, by position of the frame.

    The frames do not depend on earlier reads. Decoding on from the last frame gives the
    same bits as decoding from the keyframe, and if it fails, decoding starts again at
    the keyframe.

    Args:
        path: path of a file that FFmpeg reads as video.
        max_pixels: int. Largest number of pixels of a frame.

    Attributes:
        num_decoded: int. Frames decoded so far.
    """

    def __init__(self, path: pathlib.Path, max_pixels: int) -> None:
        self.num_decoded = 0
        self._open(path, max_pixels)

    def _open(self, path, max_pixels):
        super().__init__(path, max_pixels)
        # Several clips are read at once, so each decoder has one thread; and a forked
        # process can close a decoder that has no threads.
        self._stream.codec_context.thread_count = 1
        self._decoder = self._decode()
        # Timestamp of the last decoded frame, and its position if frames are counted.
        self._last, self._position = None, -1

    def _measured_rate(self) -> None:
        """Returns None: the rate is not needed, and a file is opened often."""

    def _reopen(self):
        self.close()
        self._open(self._path, self._max_pixels)

    # === Index ===

    def index(self) -> FrameIndex:
        """Finds all frames; decodes them only if the file has no timestamps.

        Returns:
            A `FrameIndex`.

        Raises:
            UnreadableError: if there are no frames.
        """
        index = None
        self._reopen()
        if self._container.format.name not in WITHOUT_TIMESTAMPS:
            index = self._index_packets()
        index = index or self._count_frames()
        # Reading starts at the first frame.
        self._reopen()
        if not index.num_frames:
            raise UnreadableError(index.damage or "it has no frames")
        return index

    def _index_packets(self):
        """Returns the index by timestamps, or None if they are missing or repeat.

        Packets that the container marks as not shown, by an edit list, make no frames.
        """
        shown, hidden, end, damage = [], 0, None, None
        try:
            for packet in self._container.demux(self._stream):
                if not packet.size:
                    continue
                if packet.is_discard:
                    hidden += 1
                    continue
                if packet.pts is None:
                    return None
                shown.append((packet.pts, packet.is_keyframe, packet.is_corrupt))
                length = packet.duration or 0
                end = max(end or 0, (packet.pts + length) * packet.time_base)
        except av.FFmpegError as error:
            damage = error.strerror
        while shown and shown[-1][2]:
            damage = "the file ends"
            shown.pop()
        if not damage and self._ends_early(len(shown) + hidden, end):
            damage = "the file ends"
        if damage:
            damage = f"it is damaged after frame {len(shown)}: {damage}"
        shown.sort()
        pts = np.array([packet[0] for packet in shown], "int64")
        if np.any(np.diff(pts) == 0):
            return None
        keyframes = np.flatnonzero([packet[1] for packet in shown])
        if not len(keyframes) or keyframes[0]:
            keyframes = np.concatenate([[0], keyframes])
        return FrameIndex(len(pts), pts, keyframes, damage)

    def _count_frames(self):
        self._reopen()
        count, damage = 0, None
        try:
            while self._next() is not None:
                count += 1
        except UnreadableError as error:
            damage = f"it is damaged at frame {count}: {error}"
        return FrameIndex(count, damage=damage)

    # === Frames ===

    def frames(
        self, positions: Iterable[int], index: FrameIndex
    ) -> Iterator[av.VideoFrame]:
        """Yields the frames at ascending positions.

        Args:
            positions: ints, ascending.
            index: the `FrameIndex` of the file.

        Yields:
            `av.VideoFrame`s as decoded: neither converted nor turned upright.

        Raises:
            UnreadableError: at a frame that cannot be decoded.
        """
        for position in positions:
            if index.pts is None:
                yield self._count_to(position)
            else:
                yield self._find(position, index)

    def _find(self, position, index):
        target, keyframe = index.pts[position], index.keyframe_before(position)
        if self._last is not None and self._last < target:
            at = np.searchsorted(index.pts, self._last)
            if index.keyframes[keyframe] - at <= MAX_DECODED_ON:
                try:
                    if (frame := self._decode_to(target)) is not None:
                        return frame
                except UnreadableError:
                    # The damage may lie before the keyframe; the seek below avoids it.
                    pass
        back = 0
        while keyframe > back:
            before = self.num_decoded
            try:
                self._seek(int(index.pts[index.keyframes[keyframe - back]]))
                if (frame := self._decode_to(target, started=False)) is not None:
                    return frame
            except UnreadableError:
                # If the decoder had started there, the file is damaged.
                if self.num_decoded > before:
                    raise
            # The seek went past the frame, or to where the decoder cannot start.
            back = 2 * back + 1
        self._reopen()
        if (frame := self._decode_to(target)) is None:
            raise UnreadableError(f"frame {position} is not shown")
        return frame

    def _seek(self, timestamp):
        self._last = None
        with unreadable_where_ffmpeg_fails():
            self._container.seek(timestamp, stream=self._stream)
        self._decoder = self._decode()

    def _decode_to(self, target, started=True):
        """Decodes until the frame with a timestamp.

        Args:
            target: int. Timestamp of the frame.
            started: bool. Whether the decoder holds the frames that the next one refers
                to. If not, frames before the first keyframe are dropped.

        Returns:
            The frame, or None if the decoder is past it.

        Raises:
            UnreadableError: if a frame on the way to it is damaged.
        """
        while (frame := self._next()) is not None:
            if frame.pts is None:
                raise UnreadableError("a frame has no timestamp")
            started = started or frame.key_frame
            if frame.pts > target:
                break
            if started:
                self._last = frame.pts
                if frame.pts == target:
                    return frame
        self._last = None
        return None

    def _count_to(self, position):
        if position <= self._position:
            self._reopen()
        while self._position < position:
            frame = self._next()
            if frame is None:
                raise UnreadableError("the file ends")
            self._position += 1
        return frame

    def _next(self):
        """Returns the next frame of the decoder, or None at the end."""
        try:
            frame = next(self._decoder, None)
        except UnreadableError:
            self._last = None
            raise
        self.num_decoded += frame is not None
        return frame
