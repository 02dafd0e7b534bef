"""Animated WebP, which FFmpeg does not read."""

import io
import pathlib
import struct
from collections.abc import Iterator

import numpy as np
import PIL.Image

from keras_regen.video.colour import composite
from keras_regen.video.source import (
    StillSource,
    UnreadableError,
    check_size,
)
from keras_regen.video.timestamps import Timestamps

WEBP_SUFFIX = ".webp"
# Seconds. Durations are whole milliseconds. Browsers show what says 0 for this time.
_TICK, _DEFAULT_DURATION = 1e-3, 0.1


class AnimatedWebpSource(StillSource):
    """The frames of an animated WebP file, with their own durations.

    Args:
        path: path.
        max_pixels: int. Largest number of pixels of a frame.
    """

    timestamps: Timestamps

    def __init__(self, path: pathlib.Path, max_pixels: int) -> None:
        with path.open("rb") as file:
            data = file.read()
        height, width, durations, end = _parse(data)
        if not durations:
            raise UnreadableError("it has no frames")
        check_size(height, width, max_pixels)
        self._damage = None
        if end is not None:
            self._damage = "the file ends"
            # The decoder takes whole files alone.
            data = data[:4] + struct.pack("<I", end - 8) + data[8:end]
        self.num_frames = len(durations)
        self.fps = self.num_frames / sum(durations)
        self.timestamps = Timestamps(self.fps, _TICK)
        self._starts = np.cumsum([0.0, *durations])
        try:
            self._image = PIL.Image.open(io.BytesIO(data), formats=["WEBP"])
        # Pillow's plugins raise exceptions of any type.
        except Exception as error:
            raise UnreadableError(f"it is not WebP: {error}") from error

    def __iter__(self) -> Iterator[np.ndarray]:
        for position in range(self.num_frames):
            # How long a frame is shown must be known with it.
            if not position:
                self.timestamps.append(0.0)
            if position + 1 < self.num_frames:
                self.timestamps.append(self._starts[position + 1])
            else:
                self.timestamps.finish(self._starts[-1] - self._starts[-2])
            yield self.read(position)
        if self._damage:
            raise UnreadableError(self._damage)

    def read(self, position: int) -> np.ndarray:
        try:
            self._image.seek(int(position))
            rgba = np.asarray(self._image.convert("RGBA"))
        except Exception as error:
            raise UnreadableError(str(error) or "its data make no picture") from error
        return composite(rgba, "white", self.note)

    def close(self) -> None:
        super().close()
        self._image.close()


def is_animated_webp(path):
    """Whether a file is WebP with a header that says it is animated."""
    with path.open("rb") as file:
        head = file.read(21)
    is_extended = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X"
    return is_extended and len(head) == 21 and bool(head[20] & 2)


def _parse(data):
    """Reads the header, and the durations of the frames, without decoding them.

    Returns:
        Height and width; list of seconds; and the number of bytes up to the end of the
        last whole frame if the file breaks off, otherwise None.
    """
    width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
    end = 8 + int.from_bytes(data[4:8], "little")
    durations, place = [], 12
    while place + 8 <= min(end, len(data)):
        name, length = struct.unpack_from("<4sI", data, place)
        # Chunks have an even number of bytes.
        after = place + 8 + length + length % 2
        if after > len(data):
            break
        if name == b"ANMF" and length >= 16:
            milliseconds = int.from_bytes(data[place + 20 : place + 23], "little")
            durations.append(milliseconds / 1000 or _DEFAULT_DURATION)
        place = after
    return height, width, durations, place if end > len(data) else None
