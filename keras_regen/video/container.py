"""Video files of FFmpeg: MP4, MKV, WebM, GIF, raw video and more."""

import abc
import contextlib
import dataclasses
import io
import re

import av
import numpy as np

from keras_regen.video.source import Source, UnreadableError, error_reason

RAW_SUFFIX = ".yuv"
H264_SUFFIXES = (".264", ".h264")
# As in `videoSRC01_1920x1080_30_qp_00.264` and `Beauty_1920x1080_120fps_420_8bit.yuv`.
SIZE_AND_RATE = re.compile(r"_(\d+)x(\d+)(?:_(\d+(?:\.\d+)?)(?:fps)?)?(?=_|$)", re.I)
OTHER_PIXELS = re.compile(
    r"(?<!\d)(?:10|12|16)-?bit|(?:_|yuv|p)4(?:00|22|44)(?![\dx])", re.I
)
GIF_TRAILER = b"\x3b"
# x264's scale is 0 to 51; at 15 the eye sees no difference from the original. 20 on
# VP9's scale of 0 to 63 takes about as many bits.
H264_OPTIONS = {"crf": "15", "preset": "medium"}
VP9_OPTIONS = {"crf": "20", "b": "0", "cpu-used": "4", "row-mt": "1"}
# Code points of ITU-T H.273, which codecs and FFmpeg share.
BT709 = 1
UNSPECIFIED = 2
# FFmpeg's AVCOL_RANGE_MPEG.
LIMITED_RANGE = 1
# Players such as mpv take untagged colours of videos beyond standard definition for
# BT.709. FFmpeg's scaler takes them for BT.601, which shifts pure red by 22 of 255. Raw
# video and most H.264 files of data sets are untagged.
SD_WIDTH, SD_HEIGHT = 1279, 576


# === Reading ===


class ContainerSource(Source):
    """The first video stream of a file."""

    def __init__(self, path):
        self._path = path
        form = _file_format(path)
        try:
            self._container = av.open(str(path), format=form.name, options=form.options)
        except (av.FFmpegError, OSError) as error:
            reason = error_reason(error)
            raise UnreadableError(f"it is not a video: {reason}") from error
        try:
            self._stream = self._video_stream()
        except BaseException:
            self.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.num_frames = (
            form.num_frames or self._stream.frames or self._estimate_frames()
        )

    def _video_stream(self):
        # FFmpeg plays text files as terminal art, and cover images of music as video.
        if self._container.format.name == "tty":
            raise UnreadableError("it is a text file")
        covers = av.stream.Disposition.attached_pic
        streams = [
            s for s in self._container.streams.video if not s.disposition & covers
        ]
        if not streams:
            raise UnreadableError("it has no video stream")
        return streams[0]

    def __iter__(self):
        count, end = 0, None
        with unreadable_where_ffmpeg_fails():
            for frame in self._decode():
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
        with unreadable_where_ffmpeg_fails():
            for frame in self._container.decode(self._stream):
                if frame.is_corrupt:
                    raise UnreadableError("its data make no picture")
                yield _set_colour_space(frame)

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
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)

    def _estimate_frames(self):
        if self._container.duration is None or not self.fps:
            return None
        return max(1, round(self._container.duration / av.time_base * self.fps))

    def close(self):
        self._container.close()


@dataclasses.dataclass(frozen=True)
class _FileFormat:
    """How FFmpeg must open a file.

    Args:
        name: str, FFmpeg's name of the format; or None if the file itself tells.
        options: dict of the format's options.
        num_frames: int, or None if the size of the file does not tell.
    """

    name: str | None = None
    options: dict = dataclasses.field(default_factory=dict)
    num_frames: int | None = None


def _file_format(path):
    """Returns the `_FileFormat` of a file, by its name.

    `.yuv` is planar 4:2:0 with 8 bits a sample, of the size in
    `NAME_WIDTHxHEIGHT_FPS.yuv`. `.264` and `.h264` are elementary H.264 streams, which
    carry their size; their frame rate is in the name, if anywhere.

    Raises:
        UnreadableError: if the name of a raw video gives no size or another pixel
            format, or the file is not a whole number of frames.
    """
    suffix = path.suffix.lower()
    if suffix not in (RAW_SUFFIX, *H264_SUFFIXES):
        return _FileFormat()
    match = SIZE_AND_RATE.search(path.stem)
    has_rate = match and float(match[3] or 0) > 0
    options = {"framerate": match[3]} if has_rate else {}
    if suffix in H264_SUFFIXES:
        return _FileFormat("h264", options)
    if not match or not (int(match[1]) and int(match[2])):
        raise UnreadableError(
            "the name of raw video must tell its size, as in NAME_1920x1080_30.yuv"
        )
    if OTHER_PIXELS.search(path.stem):
        raise UnreadableError("raw video must be 4:2:0 of 8 bits")
    width, height = int(match[1]), int(match[2])
    # The chroma planes of odd sides are rounded up.
    frame_size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    num_frames, rest = divmod(path.stat().st_size, frame_size)
    if rest or not num_frames:
        raise UnreadableError(
            f"a frame of {width}x{height} is {frame_size} bytes, and the file's "
            f"{path.stat().st_size} are {num_frames} frames and {rest} bytes"
        )
    options |= {"video_size": f"{width}x{height}", "pixel_format": "yuv420p"}
    return _FileFormat("rawvideo", options, num_frames)


@contextlib.contextmanager
def unreadable_where_ffmpeg_fails():
    """Turns FFmpeg's errors into `UnreadableError`."""
    try:
        yield
    except av.FFmpegError as error:
        raise UnreadableError(error.strerror) from error


def _set_colour_space(frame):
    large = frame.width > SD_WIDTH or frame.height > SD_HEIGHT
    if large and frame.colorspace == UNSPECIFIED and not frame.format.is_rgb:
        frame.colorspace = BT709
    return frame


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
        self._container = av.open(str(path), "w", options=faststart)
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
