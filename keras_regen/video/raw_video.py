"""Raw video: files of uncompressed frames without a header."""

import pathlib
import re
from collections.abc import Iterable, Iterator

import av
import numpy as np

from keras_regen.video.colour import RgbConverter, set_colour_space
from keras_regen.video.source import (
    MAX_FPS,
    MIN_FPS,
    FrameIndex,
    StillSource,
    UnreadableError,
    check_size,
)

RAW_SUFFIX = ".yuv"
# As in `videoSRC01_1920x1080_30_qp_00.264` and `Beauty_1920x1080_120fps_420_8bit.yuv`.
SIZE_AND_RATE = re.compile(r"_(\d+)x(\d+)(?:_(\d+(?:\.\d+)?)(?:fps)?)?(?=_|$)", re.I)
OTHER_PIXELS = re.compile(
    r"(?<!\d)(?:10|12|16)-?bit|(?:_|yuv|p)4(?:00|22|44)(?![\dx])", re.I
)


def size_and_rate(path: pathlib.Path) -> tuple[int | None, int | None, float | None]:
    """Returns what a name such as `NAME_1920x1080_30.yuv` tells.

    Returns:
        Tuple of height and width, ints, and frame rate, float. What is not told is
        None.
    """
    match = SIZE_AND_RATE.search(path.stem)
    if not match:
        return None, None, None
    rate = float(match[3] or 0)
    return int(match[2]), int(match[1]), rate if MIN_FPS <= rate <= MAX_FPS else None


class RawSource(StillSource):
    """The frames of a `.yuv` file: planar 4:2:0 with 8 bits a sample.

    Args:
        path: path, of which the name tells the size, as in `NAME_1920x1080_30.yuv`.
        max_pixels: int. Largest number of pixels of a frame.

    Raises:
        UnreadableError: if the name gives no size or another pixel format, or the file
            is not a whole number of frames.
    """

    def __init__(self, path: pathlib.Path, max_pixels: int) -> None:
        height, width, self.fps = size_and_rate(path)
        if not (height and width):
            raise UnreadableError(
                "the name of raw video must tell its size, as in NAME_1920x1080_30.yuv"
            )
        if OTHER_PIXELS.search(path.stem):
            raise UnreadableError("raw video must be 4:2:0 of 8 bits")
        check_size(height, width, max_pixels)
        # The chroma planes of odd sides are rounded up.
        self._size = height * width + 2 * ((height + 1) // 2) * ((width + 1) // 2)
        file_size = path.stat().st_size
        self.num_frames, rest = divmod(file_size, self._size)
        if rest or not self.num_frames:
            raise UnreadableError(
                f"a frame of {width}x{height} is {self._size} bytes, and the file's "
                f"{file_size} are {self.num_frames} frames and {rest} bytes"
            )
        self._decoder = av.CodecContext.create("rawvideo", "r")
        self._decoder.height, self._decoder.width = height, width
        self._decoder.pix_fmt = "yuv420p"
        self._convert = RgbConverter()
        self._file = path.open("rb")

    def read(self, position: int) -> np.ndarray:
        return self._convert(self._decode(position))

    def frames(
        self, positions: Iterable[int], index: FrameIndex
    ) -> Iterator[av.VideoFrame]:
        """Yields the frames at `positions` as `av.VideoFrame`s."""
        return map(self._decode, positions)

    def _decode(self, position):
        self._file.seek(int(position) * self._size)
        data = self._file.read(self._size)
        if len(data) < self._size:
            raise UnreadableError("the file ends")
        [frame] = self._decoder.decode(av.Packet(data))
        return set_colour_space(frame)

    def close(self) -> None:
        super().close()
        self._file.close()
