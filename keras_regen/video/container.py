"""Reading video files with FFmpeg: MP4, MKV, WebM, GIF and more."""

import contextlib
import fractions
import io
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type

from keras_regen.atomic_output import error_reason
from keras_regen.video.colour import RgbConverter, set_colour_space
from keras_regen.video.matroska import is_cut_off
from keras_regen.video.raw_video import size_and_rate
from keras_regen.video.source import (
    MAX_PIXELS,
    Source,
    UnreadableError,
    check_size,
)
from keras_regen.video.timestamps import Timestamps
from keras_regen.video.tone_mapping import side_data

H264_SUFFIXES = (".264", ".h264")
# FFmpeg's names of the formats that are read. FFmpeg also takes text for playlists, or
# for descriptions of streams, and then opens the files and addresses that it names.
FORMATS = (
    *("apng", "asf", "av1", "avi", "bmp_pipe", "dirac", "dv", "flv", "gif", "h261"),
    *("h263", "h264", "hevc", "ivf", "j2k_pipe", "jpeg_pipe", "jpegxl_anim"),
    *("jpegxl_pipe", "m4v", "matroska", "mjpeg", "mov", "mpeg", "mpegts", "mpegvideo"),
    *("mxf", "nut", "obu", "ogg", "png_pipe", "rm", "tiff_pipe", "vc1", "vvc"),
    *("webp_pipe", "wtv", "yuv4mpegpipe"),
)
PLAYLISTS = {
    b"ffconcat": "a playlist (ffconcat)",
    b"#EXTM3U": "a playlist (M3U)",
    b"v=0": "a description of a stream (SDP)",
}
# Pixels. Decoders count the width rounded up to a multiple of 64.
MAX_PADDING = 64 * 65536
GIF_TRAILER = b"\x3b"
# FFmpeg's names of formats that do not store when frames are shown.
WITHOUT_TIMESTAMPS = ("avi", "h264")
# FFmpeg's names of decoders, and of those that also decode transparency.
WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Before version 19, PyAV refuses files whose metadata are not UTF-8, unless it may
# replace what is not.
IS_OLD = int(av.__version__.partition(".")[0]) < 19
OPEN_OPTIONS: dict[str, Any] = {"metadata_errors": "replace"} if IS_OLD else {}
# Width to height of a pixel. Beyond, a file is wrong about it.
MAX_PIXEL_ASPECT = 100


class ContainerSource(Source):
    """The first video stream of a file.

    Args:
        path: path of a file in one of `FORMATS`.
        max_pixels: int. Largest number of pixels of a frame.
    """

    def __init__(self, path: pathlib.Path, max_pixels: int) -> None:
        self._path = path
        self._max_pixels = max_pixels
        self.is_closed = False
        self._container = open_container(path, max_pixels)
        try:
            self._stream = self._video_stream()
            check_size(self._stream.height, self._stream.width, max_pixels)
        except BaseException:
            self.close()
            raise
        # The sizes of later frames may differ.
        self._stream.codec_context.options = _decoder_options(max_pixels)
        self.fps = mean_rate(self._stream)
        if self._container.format.name == "gif":
            self.fps = self._measured_rate() or self.fps
        self.num_frames = self._stream.frames or self._estimate_frames()
        self.pixel_aspect = self._pixel_aspect()
        if self.fps and self._container.format.name not in WITHOUT_TIMESTAMPS:
            self.timestamps = Timestamps(self.fps, float(self._stream.time_base))

    def _measured_rate(self) -> float | None:
        """Returns the mean frame rate of a GIF, or None.

        FFmpeg tells that of the first frames, of which delays are rounded: 33 for 30.
        """
        count = seconds = 0
        with (
            contextlib.suppress(av.FFmpegError),
            open_container(self._path, self._max_pixels) as container,
        ):
            for packet in container.demux(video=0):
                if packet.size and packet.duration:
                    count += 1
                    seconds += packet.duration * packet.time_base
        return float(count / seconds) if seconds else None

    def _video_stream(self):
        streams = video_streams(self._container)
        if not streams:
            raise UnreadableError("it has no video stream")
        if streams[0].codec_context is None:
            raise UnreadableError("FFmpeg has no decoder for it")
        return streams[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        convert = RgbConverter(self.note)
        count, end = 0, None
        for frame in self._timed():
            with unreadable_where_ffmpeg_fails():
                array = convert(frame)
            if not count and is_on_its_side(frame):
                self.pixel_aspect = 1 / self.pixel_aspect
            yield np.ascontiguousarray(turn_upright(array, frame))
            count += 1
            if frame.time is not None and frame.duration:
                end = frame.time + float(frame.duration * frame.time_base)
        if self._ends_early(count, end):
            raise UnreadableError("the file ends")

    def _timed(self):
        """Yields frames, each when it is known how long it is shown."""
        if self.timestamps is None:
            yield from self._decode()
            return
        held, damage = None, None
        try:
            for frame in self._decode():
                self.timestamps.append(frame.time)
                if held is not None:
                    yield held
                held = frame
        except UnreadableError as error:
            damage = error
        if held is not None:
            self.timestamps.finish(self._last_duration(held))
            yield held
        if damage:
            raise damage

    def _last_duration(self, frame):
        """Returns the seconds for which the last frame is shown, or None."""
        duration = frame.duration and float(frame.duration * frame.time_base)
        end = self._tagged_duration()
        if end is None or frame.time is None:
            return duration
        return max(duration or 0, end - frame.time)

    def _decode(self):
        """Yields `av.VideoFrame`s, their colour space set; raises `UnreadableError`."""
        try:
            for frame in self._decoded_frames():
                if frame.is_corrupt:
                    raise UnreadableError("its data make no picture")
                yield set_colour_space(frame)
                # FFmpeg would decode on, from memory that it freed.
                if self.is_closed:
                    raise ValueError(f"The reader is closed. Received: {self._path}")
        except av.FFmpegError as error:
            reason = error.strerror
            if not self._stream.width:
                reason = (
                    "its frames have no size, or more pixels than the limit, "
                    f"max_pixels={self._max_pixels}"
                )
            raise UnreadableError(reason) from error

    def _decoded_frames(self):
        """Returns an iterator of `av.VideoFrame`s, with alpha if they have it.

        FFmpeg's own decoders of VP8 and VP9 leave it out.
        """
        decoder = WITH_ALPHA.get(self._stream.codec_context.name)
        if decoder is None or self._stream.metadata.get("alpha_mode") != "1":
            return self._container.decode(self._stream)
        return self._decode_alpha(av.CodecContext.create(decoder, "r"))

    def _decode_alpha(self, context):
        context.options = _decoder_options(self._max_pixels)
        context.thread_count = self._stream.codec_context.thread_count
        for packet in self._container.demux(self._stream):
            # The last packet is empty, for the frames that the decoder still holds.
            yield from context.decode(packet if packet.size else None)

    def _ends_early(self, count, end):
        """Whether the file is cut off, where FFmpeg itself reports no error.

        Args:
            count: int. Frames read.
            end: float, seconds at which the last frame read ends; or None.
        """
        if self._container.format.name == "gif":
            with self._path.open("rb") as file:
                file.seek(-1, io.SEEK_END)
                return file.read() != GIF_TRAILER
        if "matroska" in self._container.format.name:
            return is_cut_off(self._path)
        # MP4 counts its frames, and its duration may exceed the end of the last one.
        if end is None or self.fps is None:
            return False
        if count >= (self._stream.frames or np.inf):
            return False
        duration = self._duration()
        return duration is not None and end + 0.75 / self.fps < duration

    def _duration(self):
        """Returns the seconds of the video stream, or None if the file has none."""
        if "mp4" not in self._container.format.name or not self._stream.duration:
            return None
        start = self._stream.start_time or 0
        return float((start + self._stream.duration) * self._stream.time_base)

    def _tagged_duration(self):
        """Returns when the video ends, in seconds, or None.

        FFmpeg writes this tag to the streams of MKV and WebM, of which the last frame
        has no duration.
        """
        tag = self._stream.metadata.get("DURATION", "")
        match = re.match(r"(\d+):(\d+):(\d+\.\d+)", tag)
        if not match:
            return None
        hours, minutes, seconds = match.groups()
        return 3600 * float(hours) + 60 * float(minutes) + float(seconds)

    def _pixel_aspect(self):
        aspect = self._stream.sample_aspect_ratio
        if not aspect or not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
            return fractions.Fraction(1)
        return fractions.Fraction(aspect)

    def _estimate_frames(self):
        if self._container.duration is None or not self.fps:
            return None
        return max(1, round(self._container.duration / av.time_base * self.fps))

    def close(self) -> None:
        super().close()
        self._container.close()


def is_on_its_side(frame: av.VideoFrame) -> bool:
    """Whether the columns of a decoded frame are the rows of the upright one."""
    return round(frame.rotation / 90) % 2 == 1


def turn_upright(array: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Turns, and mirrors, pixels as the file says.

    Args:
        array: array of shape `(H, W, 3)`, the pixels of `frame`, also resized.
        frame: `av.VideoFrame` as decoded.

    Returns:
        A view of the array.
    """
    turns = round(frame.rotation / 90)
    matrix = side_data(frame, Type.DISPLAYMATRIX)
    if len(matrix) >= 36:
        a, b, _, c, d = np.frombuffer(matrix, "int32")[:5].astype("float64")
        if a * d < b * c:
            # FFmpeg takes the mirroring for half a turn.
            array, turns = array[:, ::-1], turns + 2
    return np.rot90(array, turns)


def open_container(
    path: pathlib.Path, max_pixels: int = MAX_PIXELS
) -> av.container.InputContainer:
    """Opens a file with FFmpeg, which opens no other file.

    `.264` and `.h264` are elementary H.264 streams; their frame rate is in the name, if
    anywhere.

    Raises:
        UnreadableError: if it is not a video in one of `FORMATS`.
    """
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    name = None
    if path.suffix.lower() in H264_SUFFIXES:
        name = "h264"
        *_, rate = size_and_rate(path)
        if rate:
            options["framerate"] = str(rate)
    try:
        return av.open(
            file_url(path),
            format=name,
            # For the decoders with which FFmpeg finds the sizes of frames.
            options=_decoder_options(max_pixels),
            container_options=options,
            **OPEN_OPTIONS,
        )
    except (av.FFmpegError, OSError) as error:
        reason = error_reason(error)
        # FFmpeg's error does not tell that it refused the format.
        if isinstance(error, av.ArgumentError):
            with path.open("rb") as file:
                start = file.read(16)
            found = [PLAYLISTS[key] for key in PLAYLISTS if start.startswith(key)]
            reason = f"it is {found[0]}" if found else "its format is not supported"
        raise UnreadableError(f"it is not a video: {reason}") from error


def video_streams(container: av.container.InputContainer) -> list[av.VideoStream]:
    """Returns the video streams of a container that are no cover images.

    FFmpeg takes the cover images of music for video.
    """
    covers = av.stream.Disposition.attached_pic
    return [s for s in container.streams.video if not s.disposition & covers]


def mean_rate(stream: av.VideoStream) -> float | None:
    """Returns the mean frames per second of a stream, or None if none is known."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _decoder_options(max_pixels):
    """Returns the options that keep a decoder from allocating larger frames."""
    return {"max_pixels": str(max_pixels + MAX_PADDING)}


def file_url(path: pathlib.Path) -> str:
    """Returns FFmpeg's address of a file, of which the name may contain a colon."""
    return f"file:{path.absolute()}"


@contextlib.contextmanager
def unreadable_where_ffmpeg_fails() -> Iterator[None]:
    """Turns FFmpeg's errors into `UnreadableError`."""
    try:
        yield
    except av.FFmpegError as error:
        raise UnreadableError(error.strerror) from error
