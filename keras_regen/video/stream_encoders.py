"""Writing video files with FFmpeg: MP4, MKV, WebM and GIF."""

import abc
import dataclasses
import fractions
import pathlib
from typing import cast

import av
import numpy as np

from keras_regen.video.colour import YuvConverter, h264_pixel_format, tag_bt709
from keras_regen.video.container import file_url
from keras_regen.video.matroska import set_display_width
from keras_regen.video.sound import Sound, warn_without_sound

# x264's scale is 0 to 51; at 15 the eye sees no difference from the original. 20 on
# VP9's scale of 0 to 63 takes about as many bits.
H264_OPTIONS = {"crf": "15", "preset": "medium"}
VP9_OPTIONS = {"crf": "20", "b": "0", "cpu-used": "4", "row-mt": "1"}
# Ticks per second at least, for frames at times of their own. MPEG has as many.
TICKS = 90_000


@dataclasses.dataclass(frozen=True)
class StreamSettings:
    """What is known of a video stream before its first frame, beside its size.

    Args:
        fps: fractions.Fraction. Mean frames per second.
        pixel_aspect: fractions.Fraction. Width to height of a pixel.
        sound: `Sound` or None. What to copy into the file.
        is_timed: bool. Whether frames are written at times of their own.
    """

    fps: fractions.Fraction
    pixel_aspect: fractions.Fraction = fractions.Fraction(1)
    sound: Sound | None = None
    is_timed: bool = False


class StreamEncoder(abc.ABC):
    """Writes frames to a file with one video stream, and sound.

    Args:
        path: path to write to. Its suffix names the container.
        settings: `StreamSettings`.
        height: int.
        width: int.
    """

    codec = ""
    options: dict[str, str] = {}
    timed_options: dict[str, str] = {}

    def __init__(
        self, path: pathlib.Path, settings: StreamSettings, height: int, width: int
    ) -> None:
        self._settings = settings
        self._path, self._width = path, width
        numerator, denominator = settings.fps.as_integer_ratio()
        scale = -(-TICKS // numerator)
        self._tick = fractions.Fraction(1, numerator * scale)
        self._ticks_per_frame = denominator * scale
        # Of the next frame, if it has no time of its own.
        self._last, self._next = -1, 0
        self._durations: dict[int, int] = {}
        try:
            self._open(path, height, width, settings.sound)
        except av.FFmpegError:
            if settings.sound is None:
                raise
            self._container.close()
            self._open(path, height, width, None)
            warn_without_sound(f"{path.suffix} cannot hold it")

    def _open(self, path, height, width, sound):
        faststart = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
        self._container = av.open(file_url(path), "w", options=faststart)
        options = self.options | (self.timed_options if self._settings.is_timed else {})
        stream = self._container.add_stream(
            self.codec, self._settings.fps, options=options
        )
        self._stream = cast("av.VideoStream", stream)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = self.pixel_format(height, width)
        self._prepare(self._stream.codec_context)
        self._sound, self._sound_streams = sound, {}
        for i, template in enumerate(sound.streams if sound else ()):
            try:
                stream = self._container.add_stream_from_template(template)
            except ValueError:
                name = template.codec_context.name
                warn_without_sound(f"{path.suffix} cannot hold {name}")
                continue
            if "language" in template.metadata:
                stream.metadata["language"] = template.metadata["language"]
            self._sound_streams[i] = stream
        # Writes the header, and so shows whether the file can hold the sound.
        self._container.start_encoding()

    @abc.abstractmethod
    def pixel_format(self, height: int, width: int) -> str:
        """Returns FFmpeg's name of the pixel format."""

    def _prepare(self, context):
        """Takes the codec context before it is opened; sets what the codec needs."""
        context.time_base = self._tick
        context.sample_aspect_ratio = self._settings.pixel_aspect

    def write(
        self, array: np.ndarray, time: float | None, duration: float | None
    ) -> None:
        """Appends a uint8 frame; see `VideoWriter.write`."""
        frame = self._convert(array)
        self._stamp(frame, time, duration)
        self._encode(frame)

    def _convert(self, array):
        return av.VideoFrame.from_ndarray(array, format="rgb24")

    def _encode(self, frame):
        self._mux(self._stream.encode(frame))

    def close(self, flush: bool) -> None:
        """Closes the file; `flush` first writes the frames that the codec holds."""
        if flush:
            self._mux(self._stream.encode(None))
            self._mux_sound(self._next * self._tick)
        self._container.close()

    def _stamp(self, frame, time, duration):
        """Sets when a frame is shown, and for how long."""
        pts = self._next
        if time is not None:
            # The file has no smaller steps, and no two frames at one time.
            pts = max(round(time / self._tick), self._last + 1)
        ticks = self._ticks_per_frame
        if duration is not None:
            ticks = max(1, round(duration / self._tick))
        self._last, self._next = pts, pts + ticks
        self._durations[pts] = ticks
        frame.pts, frame.time_base = pts, self._tick

    def _mux(self, packets):
        for packet in packets:
            # Codecs do not tell it.
            packet.duration = self._durations.pop(packet.pts, self._ticks_per_frame)
            place = packet.pts if packet.dts is None else packet.dts
            self._mux_sound(place * self._tick)
            self._container.mux(packet)

    def _mux_sound(self, time):
        """Writes the sound before a time in seconds."""
        for i, packet in self._sound.before(time) if self._sound_streams else ():
            if i in self._sound_streams:
                packet.stream = self._sound_streams[i]
                self._container.mux(packet)


class _YuvEncoder(StreamEncoder):
    """Writes frames as luma and chroma, tagged as BT.709."""

    def _prepare(self, context):
        super()._prepare(context)
        # Players guess the colours of an untagged file by its size.
        tag_bt709(context)
        self._to_yuv = YuvConverter(context.pix_fmt)

    def _convert(self, array):
        return self._to_yuv(array)


class H264Encoder(_YuvEncoder):
    """Writes H.264, in MP4 or MKV."""

    codec = "libx264"
    options = H264_OPTIONS
    # With B-frames, FFmpeg's reader of MP4 tells too short a duration where frames are
    # shown for times that differ.
    timed_options = {"bf": "0"}

    def pixel_format(self, height: int, width: int) -> str:
        return h264_pixel_format(height, width)


class Vp9Encoder(_YuvEncoder):
    """Writes VP9, in WebM."""

    codec = "libvpx-vp9"
    options = VP9_OPTIONS

    def pixel_format(self, height: int, width: int) -> str:
        # VP9 rounds the chroma of odd sides up.
        return "yuv420p"

    def close(self, flush: bool) -> None:
        super().close(flush)
        aspect = self._settings.pixel_aspect
        # Neither VP9 nor FFmpeg's writer of WebM has a place for it.
        if flush and aspect != 1:
            set_display_width(self._path, max(1, round(self._width * aspect)))


class GifEncoder(StreamEncoder):
    """Writes a GIF with a palette for each frame."""

    codec = "gif"

    def __init__(
        self, path: pathlib.Path, settings: StreamSettings, height: int, width: int
    ) -> None:
        super().__init__(path, settings, height, width)
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=width,
            height=height,
            format="rgb24",  # type: ignore[arg-type]
            time_base=self._tick,
        )
        split = self._graph.add("split")
        make = self._graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        use = self._graph.add("paletteuse", "new=1")
        sink = self._graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(make, 1, 0)
        make.link_to(use, 0, 1)
        use.link_to(sink)
        self._graph.configure()

    def pixel_format(self, height: int, width: int) -> str:
        return "pal8"

    def _encode(self, frame):
        self._graph.push(frame)
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            super()._encode(frame)

    def close(self, flush: bool) -> None:
        if flush:
            self._encode(None)
        super().close(flush)
