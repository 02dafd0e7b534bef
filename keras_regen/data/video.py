"""Videos on disk, one frame at a time."""

import fractions
import pathlib
import secrets

import av
import numpy as np

ASSETS = pathlib.Path(__file__).parents[1] / "assets"
# 15 of x264's 0 to 51: beyond what the eye tells from the original.
H264_OPTIONS = {"crf": "15", "preset": "medium"}
SUFFIXES = (".gif", ".mkv", ".mp4")
# ITU-R BT.709 in the numbering that H.264 and FFmpeg share.
BT709 = 1
LIMITED_RANGE = 1


def bundled_clip():
    """Path of the clip that comes with the package: a scene of Big Buck Bunny.

    60 frames of 128x228 pixels at 25 frames/s.
    """
    return ASSETS / "bunny.mp4"


class VideoReader:
    """Reads the frames of a video in order, in constant memory.

    Frames come upright, as a player shows them. Sound is ignored, and a variable frame
    rate is read as its mean. Iterating reads on: a second pass needs a second reader.

    Args:
        path: path of anything that FFmpeg reads as video, an image included.

    Attributes:
        fps: float. Mean frames per second.
        num_frames: int or None. The container's word, which can be an estimate.
        height: int. Rows of a frame.
        width: int. Columns of a frame.

    Returns:
        Iterating yields uint8 arrays of shape `(height, width, 3)`, RGB.

    Raises:
        ValueError: at once, if the file is missing or is no video with at least one
            frame; while iterating, at the frame where the file turns out damaged.

    Example:

    >>> with VideoReader(bundled_clip()) as reader:
    ...     print(reader.fps, reader.num_frames, next(iter(reader)).shape)
    25.0 60 (128, 228, 3)
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        if self.path.is_dir():
            raise self._error("it is a directory")
        if not self.path.exists():
            raise self._error("there is no such file")
        try:
            self._container = av.open(str(self.path))
        except (av.FFmpegError, OSError) as error:
            raise self._error(f"it is not a video: {_reason(error)}") from error
        try:
            self._open_stream()
        except BaseException:
            self.close()
            raise

    def _open_stream(self):
        # FFmpeg plays text files as terminal art, and covers of music as video.
        if self._container.format.name == "tty":
            raise self._error("it is a text file")
        covers = av.stream.Disposition.attached_pic
        streams = [
            s for s in self._container.streams.video if not s.disposition & covers
        ]
        if not streams:
            raise self._error("it has no video stream")
        self._stream = streams[0]
        self._frames = self._decode()
        # Only a decoded frame proves that there is a video, and its true size.
        self._first = next(self._frames, None)
        if self._first is None:
            raise self._error("it has no frames")
        self.height, self.width, _ = self._first.shape
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else 25.0
        self.num_frames = self._stream.frames or self._estimate_frames()

    def __iter__(self):
        if self._first is not None:
            frame, self._first = self._first, None
            yield frame
        yield from self._frames

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Closes the file."""
        self._container.close()

    def _decode(self):
        number, shape = 0, None
        try:
            for frame in self._container.decode(self._stream):
                if frame.is_corrupt:
                    raise self._error(f"it is damaged at frame {number}")
                array = frame.to_ndarray(format="rgb24")
                if frame.rotation:
                    array = np.rot90(array, round(frame.rotation / 90))
                shape = shape or array.shape
                if array.shape != shape:
                    raise self._error(
                        f"frame {number} is {array.shape[0]}x{array.shape[1]} pixels "
                        f"after frames of {shape[0]}x{shape[1]}"
                    )
                yield np.ascontiguousarray(array)
                number += 1
        except av.FFmpegError as error:
            reason = f"it is damaged at frame {number}: {_reason(error)}"
            raise self._error(reason) from error

    def _estimate_frames(self):
        if self._container.duration is None:
            return None
        return max(1, round(self._container.duration / av.time_base * self.fps))

    def _error(self, reason):
        return ValueError(
            f"Cannot read the video: {reason}. Received: path={self.path}"
        )


class VideoWriter:
    """Writes a video frame by frame, in constant memory.

    The video appears at `path` when the block ends well; until then, and after an
    error, whatever was there stays as it was. MP4 and MKV hold H.264 of high quality,
    in full colour resolution where a side is odd; GIF has 256 colours a frame.

    Args:
        path: path ending in `.mp4`, `.mkv` or `.gif`.
        fps: float. Frames per second, more than 0.

    Raises:
        ValueError: at once, if the suffix is another, the directory cannot be written
            to or `fps` is not positive; at the end, if there were no frames.

    Example:

    >>> with VideoWriter("black.mp4", fps=25) as writer:  # doctest: +SKIP
    ...     writer.write(np.zeros((17, 31, 3), "uint8"))
    """

    def __init__(self, path, fps):
        self.path = pathlib.Path(path)
        if self.path.suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"A video is written as {', '.join(SUFFIXES)}. "
                f"Received: path={self.path}"
            )
        if not 0 < fps < float("inf"):
            raise ValueError(f"`fps` must be positive. Received: fps={fps}")
        if self.path.is_dir():
            raise self._error("it is a directory")
        self.fps = fractions.Fraction(fps).limit_denominator(65535)
        # Beside the destination, so that the last step is a rename on one file system.
        self._temporary = self.path.with_name(
            f".{self.path.stem}-{secrets.token_hex(4)}{self.path.suffix.lower()}"
        )
        try:
            self._temporary.touch(exist_ok=False)
        except OSError as error:
            raise self._error(error.strerror) from error
        self._encoder = self._shape = None

    def write(self, frame):
        """Appends one frame.

        Args:
            frame: uint8 array of shape `(H, W, 3)`, RGB; every one of the same size.

        Raises:
            ValueError: if the frame is not as above.
        """
        frame = np.asarray(frame)
        if frame.dtype != "uint8" or frame.ndim != 3 or frame.shape[-1] != 3:
            raise ValueError(
                "A frame must be a uint8 array of shape (H, W, 3). "
                f"Received: frame.dtype={frame.dtype}, frame.shape={frame.shape}"
            )
        if 0 in frame.shape:
            raise ValueError(
                f"A frame must have pixels. Received: frame.shape={frame.shape}"
            )
        self._shape = self._shape or frame.shape
        if frame.shape != self._shape:
            raise ValueError(
                f"Every frame must have the shape of the first, {self._shape}. "
                f"Received: frame.shape={frame.shape}"
            )
        try:
            if self._encoder is None:
                kind = GifEncoder if self._temporary.suffix == ".gif" else H264Encoder
                self._encoder = kind(self._temporary, self.fps, *frame.shape[:2])
            self._encoder.write(np.ascontiguousarray(frame))
        except av.FFmpegError as error:
            raise self._error(_reason(error)) from error

    def __enter__(self):
        return self

    def __exit__(self, exception_type, *exception):
        try:
            if self._encoder is not None:
                self._encoder.close(flush=exception_type is None)
            if exception_type is None:
                if self._encoder is None:
                    raise self._error("no frame was written")
                self._temporary.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            raise self._error(_reason(error)) from error
        finally:
            self._temporary.unlink(missing_ok=True)

    def _error(self, reason):
        return ValueError(
            f"Cannot write the video: {reason}. Received: path={self.path}"
        )


class H264Encoder:
    """Frames to an H.264 file."""

    def __init__(self, path, fps, height, width):
        options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
        self._container = av.open(str(path), "w", options=options)
        self._stream = self._container.add_stream("libx264", fps, options=H264_OPTIONS)
        self._stream.height, self._stream.width = height, width
        # Chroma at half resolution needs even sides.
        even = height % 2 == 0 and width % 2 == 0
        self._stream.pix_fmt = "yuv420p" if even else "yuv444p"
        # Players guess the colours of an untagged file, by its size.
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE

    def write(self, array):
        frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(
            format=self._stream.pix_fmt, dst_colorspace="ITU709"
        )
        self._container.mux(self._stream.encode(frame))

    def close(self, flush):
        if flush:
            self._container.mux(self._stream.encode(None))
        self._container.close()


class GifEncoder:
    """Frames to a GIF, each with a palette of its own."""

    def __init__(self, path, fps, height, width):
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("gif", fps)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = "pal8"
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
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def _drain(self):
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            self._container.mux(self._stream.encode(frame))


def _reason(error):
    """What FFmpeg says, without the number and the path that it adds."""
    return getattr(error, "strerror", None) or str(error)
