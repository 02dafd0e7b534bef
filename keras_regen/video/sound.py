"""The sound of a file, copied into another without encoding it again."""

import logging
from collections.abc import Iterator

import av

from keras_regen.atomic_output import error_reason
from keras_regen.checks import check_path
from keras_regen.types import StrPath
from keras_regen.video.container import mean_rate, open_container, video_streams
from keras_regen.video.source import UnreadableError, check_is_file

logger = logging.getLogger("keras_regen")


class Sound:
    """The packets of all audio streams of a file, in order.

    Args:
        path: path of a video, or of a file with sound alone.
        start: float. Where the output starts, in seconds from the first frame of the
            video, or from the start of sound alone. Defaults to `0.0`.
        origin: float or None. The file's own time of the first frame. Defaults to what
            FFmpeg tells without decoding it.

    Attributes:
        streams: list of `av.AudioStream`, to make the output's streams like.
        fps: float or None. Mean frames per second of the file's video, if it has one.

    Raises:
        ValueError: if the file cannot be read.
    """

    def __init__(
        self, path: StrPath, start: float = 0.0, origin: float | None = None
    ) -> None:
        self.path = path = check_path(path)
        try:
            check_is_file(path)
            self._container = open_container(path)
        except (UnreadableError, OSError) as error:
            raise ValueError(
                f"Cannot read the sound: {error_reason(error)}. Received: path={path}"
            ) from error
        self._start = start + (self._origin() if origin is None else origin)
        self.fps = next(map(mean_rate, video_streams(self._container)), None)
        # A stream that FFmpeg cannot decode has no context that describes it.
        self.streams = [
            stream
            for stream in self._container.streams.audio
            if stream.codec_context is not None
        ]
        self._packets = self._read() if self.streams else iter(())
        self._next = None

    def _origin(self):
        for stream in video_streams(self._container):
            return float((stream.start_time or 0) * (stream.time_base or 0))
        return 0.0

    def before(self, time: float) -> Iterator[tuple[int, av.Packet]]:
        """Yields the packets that start before a time of the output, in seconds.

        Yields:
            Pairs of the index in `streams`, and an `av.Packet` with the times of the
            output.
        """
        while True:
            if self._next is None:
                self._next = next(self._packets, None)
            if self._next is None or self._next[0] >= time:
                return
            (_, *found), self._next = self._next, None
            yield found

    def _read(self):
        """Yields triples of a time in seconds, an index and a packet."""
        indices = {stream.index: i for i, stream in enumerate(self.streams)}
        last: dict[int, int] = {}
        try:
            for packet in self._container.demux(self.streams):
                if packet.dts is None or packet.pts is None:
                    continue
                stream, tick = packet.stream_index, packet.time_base
                shift = round(self._start / tick)
                end = packet.pts + (packet.duration or 0) - shift
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                # Not what is over before the video starts. A packet that ends there
                # prepares the decoder. And no file holds packets that go back in time.
                if end < 0 or packet.dts <= last.get(stream, packet.dts - 1):
                    continue
                last[stream] = packet.dts
                yield float(packet.pts * tick), indices[stream], packet
        except av.FFmpegError:
            # The file is damaged, of which the reader of its frames tells.
            return

    def close(self) -> None:
        """Closes the file, of which no packets are left then."""
        # FFmpeg would read on, from memory that it freed.
        self._packets, self._next = iter(()), None
        self._container.close()


def warn_without_sound(reason: str) -> None:
    """Logs why a video is written without sound."""
    logger.warning("The video has no sound: %s", reason)
