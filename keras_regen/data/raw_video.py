"""Files without a container, of which the name has to tell what is in them."""

import dataclasses
import re

from keras_regen.data.source import UnreadableError

RAW_SUFFIX = ".yuv"
H264_SUFFIXES = (".264", ".h264")
# As in `videoSRC01_1920x1080_30_qp_00.264` and `Beauty_1920x1080_120fps_420_8bit.yuv`.
SIZE_AND_RATE = re.compile(r"_(\d+)x(\d+)(?:_(\d+(?:\.\d+)?)(?:fps)?)?(?=_|$)", re.I)
OTHER_PIXELS = re.compile(
    r"(?<!\d)(?:10|12|16)-?bit|(?:_|yuv|p)4(?:00|22|44)(?![\dx])", re.I
)


@dataclasses.dataclass(frozen=True)
class FileFormat:
    """How FFmpeg is to open a file.

    Args:
        name: str or None. FFmpeg's name of the format; None if the file tells.
        options: dict of the format's options.
        num_frames: int or None, if the size of the file does not tell.
    """

    name: str | None = None
    options: dict = dataclasses.field(default_factory=dict)
    num_frames: int | None = None


def file_format(path):
    """The `FileFormat` of a file, by its name.

    `.yuv` is planar 4:2:0 of 8 bits, of the size in `NAME_WIDTHxHEIGHT_FPS.yuv`. `.264`
    and `.h264` are elementary streams of H.264, which carry their size; their frame
    rate is the name's, if it has one.

    Raises:
        UnreadableError: if the name of raw video does not tell the size or tells of
            other pixels, or the file is no whole number of frames.
    """
    suffix = path.suffix.lower()
    if suffix not in (RAW_SUFFIX, *H264_SUFFIXES):
        return FileFormat()
    match = SIZE_AND_RATE.search(path.stem)
    has_rate = match and float(match[3] or 0) > 0
    options = {"framerate": match[3]} if has_rate else {}
    if suffix in H264_SUFFIXES:
        return FileFormat("h264", options)
    if not match or not (int(match[1]) and int(match[2])):
        raise UnreadableError(
            "the name of raw video must tell its size, as in NAME_1920x1080_30.yuv"
        )
    if OTHER_PIXELS.search(path.stem):
        raise UnreadableError("raw video must be 4:2:0 of 8 bits")
    width, height = int(match[1]), int(match[2])
    # The colour differences of odd sides are rounded up.
    frame_size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    num_frames, rest = divmod(path.stat().st_size, frame_size)
    if rest or not num_frames:
        raise UnreadableError(
            f"a frame of {width}x{height} is {frame_size} bytes, and the file's "
            f"{path.stat().st_size} are {num_frames} frames and {rest} bytes"
        )
    options |= {"video_size": f"{width}x{height}", "pixel_format": "yuv420p"}
    return FileFormat("rawvideo", options, num_frames)
