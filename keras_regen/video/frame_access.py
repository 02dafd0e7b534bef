"""Frames of a video file in any order, by its keyframes."""

import pathlib

import av
import numpy as np

from keras_regen.pixels import to_uint8
from keras_regen.video.array_file import ArraySource
from keras_regen.video.container import ContainerSource
from keras_regen.video.image_directory import ImageSource
from keras_regen.video.source import FrameIndex, UnreadableError

# Frames that are decoded rather than skipped by a seek, which costs about as much.
READ_ON = 16
# They do not say when frames are shown.
WITHOUT_TIMESTAMPS = ("avi", "h264")


class ContainerAccess(ContainerSource):
    """The first video stream of a file, by position of the frame.

    What is read does not depend on what was read before: going on from the last frame
    gives the bits that decoding from the keyframe gives, and where it fails, that is
    tried too.

    Args:
        path: path of a file that FFmpeg reads as video.

    Attributes:
        num_decoded: int. Frames decoded so far.
    """

    def __init__(self, path):
        self.num_decoded = 0
        self._open(path)

    def _open(self, path):
        super().__init__(path)
        # Clips are read side by side, so one thread each; and a process forked off can
        # close a decoder that has no threads.
        self._stream.codec_context.thread_count = 1
        self._decoder = self._decode()
        # Of the frame decoded last: its timestamp, and its position if that is counted.
        self._last, self._position = None, -1

    def _reopen(self):
        self.close()
        self._open(self._path)

    # === Index ===

    def index(self):
        """Finds all frames by reading the file without decoding it.

        Returns:
            A `FrameIndex`.

        Raises:
            UnreadableError: if there are no frames.
        """
        if self._container.format.name == "rawvideo":
            # Every frame is where it must be: no need to read the file.
            positions = np.arange(self.num_frames)
            return FrameIndex(self.num_frames, positions, positions)
        index = None
        self._reopen()
        if self._container.format.name not in WITHOUT_TIMESTAMPS:
            index = self._index_packets()
        index = index or self._count_frames()
        # Reading begins at the beginning.
        self._reopen()
        if not index.num_frames:
            raise UnreadableError(index.damage or "it has no frames")
        return index

    def _index_packets(self):
        """The index by timestamps, or None if they do not tell one frame from another.

        Packets that the container says are not shown, as an edit list does, make no
        frames.
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

    def frames(self, positions, index):
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
            if index.keyframes[keyframe] - at <= READ_ON:
                try:
                    if (frame := self._decode_to(target)) is not None:
                        return frame
                except UnreadableError:
                    # What lies before the keyframe may be damaged, it may not.
                    pass
        back = 0
        while keyframe > back:
            before = self.num_decoded
            try:
                self._seek(int(index.pts[index.keyframes[keyframe - back]]))
                if (frame := self._decode_to(target, started=False)) is not None:
                    return frame
            except UnreadableError:
                # Only if the decoder could start there, it is the file that is damaged.
                if self.num_decoded > before:
                    raise
            # The seek led beyond the frame, or to where no decoder can start.
            back = 2 * back + 1
        self._reopen()
        if (frame := self._decode_to(target)) is None:
            raise UnreadableError(f"frame {position} is not shown")
        return frame

    def _seek(self, timestamp):
        self._last = None
        try:
            self._container.seek(timestamp, stream=self._stream)
        except av.FFmpegError as error:
            raise UnreadableError(error.strerror) from error
        self._decoder = self._decode()

    def _decode_to(self, target, started=True):
        """The frame of a timestamp; None if decoding is beyond it.

        Args:
            target: int. Timestamp of the frame.
            started: bool. Whether the decoder has what the next frame refers to; if
                not, frames before the first keyframe are passed over.

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
        """The next frame of the decoder, or None at the end."""
        try:
            frame = next(self._decoder, None)
        except av.FFmpegError as error:
            self._last = None
            raise UnreadableError(error.strerror) from error
        if frame is not None:
            if frame.is_corrupt:
                self._last = None
                raise UnreadableError("its data make no picture")
            self.num_decoded += 1
        return frame


class StillAccess:
    """Frames of a directory of images or of an `.npy` file, each on its own.

    Args:
        source: an `ImageSource` or `ArraySource`.
    """

    def __init__(self, source):
        self._source = source
        self.num_frames = source.num_frames

    def index(self):
        """How many frames there are."""
        return FrameIndex(self.num_frames)

    def frames(self, positions, index):
        """Yields the frames at `positions`, uint8 arrays of shape `(H, W, 3)`."""
        for position in positions:
            yield to_uint8(self._source.read(position))

    def close(self):
        """Closes the file."""
        self._source.close()


def open_access(path):
    """Opens a video of any kind for reading in any order.

    Returns:
        An object with `num_frames`, the header's word or None; `index()`, a
        `FrameIndex`; `frames(positions, index)`, which yields the frames at ascending
        positions, as `av.VideoFrame` or uint8 array; and `close()`.

    Raises:
        UnreadableError or OSError: if it cannot be read.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise UnreadableError("there is no such file")
    if path.is_dir():
        return StillAccess(ImageSource(path))
    if path.suffix.lower() == ".npy":
        return StillAccess(ArraySource(path))
    return ContainerAccess(path)
