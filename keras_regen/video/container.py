"""Video files of FFmpeg: MP4, MKV, WebM, GIF and more."""

import abc
import contextlib
import io
import re

import av
import numpy as np

from keras_regen.atomic_output import error_reason
from keras_regen.video.raw_video import BT709, set_colour_space, size_and_rate
from keras_regen.video.source import (
    Source,
    UnreadableError,
    check_size,
)

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
# x264's scale is 0 to 51; at 15 the eye sees no difference from the original. 20 on
# VP9's scale of 0 to 63 takes about as many bits.
H264_OPTIONS = {"crf": "15", "preset": "medium"}
VP9_OPTIONS = {"crf": "20", "b": "0", "cpu-used": "4", "row-mt": "1"}
# FFmpeg's AVCOL_RANGE_MPEG.
LIMITED_RANGE = 1


# === Reading ===


class ContainerSource(Source):
    """The first video stream of a file.

    Args:
        path: path of a file in one of `FORMATS`.
        max_pixels: int. Largest number of pixels of a frame.
    """

    def __init__(self, path, max_pixels):
        self._path = path
        self._max_pixels = max_pixels
        self._container = _open(path, max_pixels)
        try:
            self._stream = self._video_stream()
            check_size(self._stream.height, self._stream.width, max_pixels)
        except BaseException:
            self.close()
            raise
        # The sizes of later frames may differ.
        self._stream.codec_context.options = _decoder_options(max_pixels)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.num_frames = self._stream.frames or self._estimate_frames()

    def _video_stream(self):
        # FFmpeg takes the cover images of music for video.
        covers = av.stream.Disposition.attached_pic
        streams = [
            s for s in self._container.streams.video if not s.disposition & covers
        ]
        if not streams:
            raise UnreadableError("it has no video stream")
        if streams[0].codec_context is None:
            raise UnreadableError("FFmpeg has no decoder for it")
        return streams[0]

    def __iter__(self):
        count, end = 0, None
        for frame in self._decode():
            with unreadable_where_ffmpeg_fails():
                array = frame.to_ndarray(format="rgb24")
            if frame.rotation:
                array = np.rot90(array, round(frame.rotation / 90))
            yield np.ascontiguousarray(array)
            count += 1
            if frame.time is not None and frame.duration:
                end = frame.time + float(frame.duration * frame.time_base)
        if self._ends_early(count, end):
            raise UnreadableError("the file ends")

    def _decode(self):
        """Yields `av.VideoFrame`s, their colour space set; raises `UnreadableError`."""
        try:
            for frame in self._container.decode(self._stream):
                if frame.is_corrupt:
                    raise UnreadableError("its data make no picture")
                yield set_colour_space(frame)
        except av.FFmpegError as error:
            reason = error.strerror
            if not self._stream.width:
                reason = (
                    "its frames have no size, or more pixels than the limit, "
                    f"max_pixels={self._max_pixels}"
                )
            raise UnreadableError(reason) from error

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
        # MP4 counts its frames, and its duration may exceed the end of the last one.
        if None in (end, self.fps) or count >= (self._stream.frames or np.inf):
            return False
        duration = self._duration()
        return duration is not None and end + 0.75 / self.fps < duration

    def _duration(self):
        """Returns the seconds of the video stream, or None if the file has none."""
        if "mp4" in self._container.format.name and self._stream.duration:
            start = self._stream.start_time or 0
            return float((start + self._stream.duration) * self._stream.time_base)
        # FFmpeg writes this tag to the streams of MKV and WebM.
        tag = self._stream.metadata.get("DURATION", "")
        match = re.match(r"(\d+):(\d+):(\d+\.\d+)", tag)
        if not match:
            return None
        hours, minutes, seconds = match.groups()
        return 3600 * float(hours) + 60 * float(minutes) + float(seconds)

    def _estimate_frames(self):
        if self._container.duration is None or not self.fps:
            return None
        return max(1, round(self._container.duration / av.time_base * self.fps))

    def close(self):
        self._container.close()


def _open(path, max_pixels):
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
            metadata_errors="replace",
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


def _decoder_options(max_pixels):
    """Returns the options that keep a decoder from allocating larger frames."""
    return {"max_pixels": str(max_pixels + MAX_PADDING)}


def file_url(path):
    """Returns FFmpeg's address of a file, of which the name may contain a colon."""
    return f"file:{path.absolute()}"


@contextlib.contextmanager
def unreadable_where_ffmpeg_fails():
    """Turns FFmpeg's errors into `UnreadableError`."""
    try:
        yield
    except av.FFmpegError as error:
        raise UnreadableError(error.strerror) from error


# === Writing ===


def tag_bt709(context):
    """Marks the colours of a codec context as BT.709 in limited range."""
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED_RANGE


def h264_pixel_format(height, width):
    """Returns FFmpeg's name of the pixel format for a size of frames.

    Chroma at half resolution needs even sides.
    """
    return "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"


class _StreamEncoder(abc.ABC):
    """Writes frames to a file with one video stream.

    Args:
        path: path to write to. Its suffix names the container.
        fps: Fraction.
        height: int.
        width: int.
    """

    codec = ""
    options = {}

    def __init__(self, path, fps, height, width):
        faststart = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
        self._container = av.open(file_url(path), "w", options=faststart)
        self._stream = self._container.add_stream(self.codec, fps, options=self.options)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = self.pixel_format(height, width)

    @abc.abstractmethod
    def pixel_format(self, height, width):
        """Returns FFmpeg's name of the pixel format."""

    @abc.abstractmethod
    def write(self, array):
        """Appends a uint8 frame."""

    def close(self, flush):
        """Closes the file; `flush` first writes the frames that the codec holds."""
        if flush:
            self._container.mux(self._stream.encode(None))
        self._container.close()


class _YuvEncoder(_StreamEncoder):
    """Writes frames as luma and chroma, tagged as BT.709."""

    def __init__(self, *args):
        super().__init__(*args)
        # Players guess the colours of an untagged file by its size.
        tag_bt709(self._stream.codec_context)

    def write(self, array):
        frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(
            format=self._stream.pix_fmt, dst_colorspace="ITU709"
        )
        self._container.mux(self._stream.encode(frame))


class H264Encoder(_YuvEncoder):
    """Writes H.264, in MP4 or MKV."""

    codec = "libx264"
    options = H264_OPTIONS

    def pixel_format(self, height, width):
        return h264_pixel_format(height, width)


class Vp9Encoder(_YuvEncoder):
    """Writes VP9, in WebM."""

    codec = "libvpx-vp9"
    options = VP9_OPTIONS

    def pixel_format(self, height, width):
        # VP9 rounds the chroma of odd sides up.
        return "yuv420p"


class GifEncoder(_StreamEncoder):
    """Writes a GIF with a palette for each frame."""

    codec = "gif"

    def __init__(self, path, fps, height, width):
        super().__init__(path, fps, height, width)
        self._time_base = 1 / fps
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=width, height=height, format="rgb24", time_base=self._time_base
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
        self._count = 0

    def pixel_format(self, height, width):
        return "pal8"

    def write(self, array):
        frame = av.VideoFrame.from_ndarray(array, format="rgb24")
        frame.pts, self._count = self._count, self._count + 1
        frame.time_base = self._time_base
        self._graph.push(frame)
        self._drain()

    def close(self, flush):
        if flush:
            self._graph.push(None)
            self._drain()
        super().close(flush)

    def _drain(self):
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            self._container.mux(self._stream.encode(frame))
