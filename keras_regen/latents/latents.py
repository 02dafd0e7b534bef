"""The latents of a whole video."""

import dataclasses
import itertools
import math
import numbers
import os
import reprlib
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from keras_regen.checks import FPS_RANGE, check_real, check_whole
from keras_regen.latents.chunk_layout import ChunkLayout
from keras_regen.latents.frame_times import FrameTimes, check_times
from keras_regen.latents.inverted_noise import InvertedNoise
from keras_regen.latents.latents_file import (
    ContentHash,
    LatentsWriter,
    extended_header,
    read_latents,
)
from keras_regen.latents.rows import join_rows
from keras_regen.pixels import FRAME_DTYPES, latent_size
from keras_regen.types import LatentsDtype, StrPath

# What FFmpeg and NumPy count with.
_MAX_WHOLE = 2**62
_SQUARE, _MAX_ASPECT = (1, 1), 2**31 - 1
# Values to read at a time for the hash.
_BLOCK = 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class Latents:
    """The latents of a video, or of some of its frames, with what decoding needs.

    `latents[a:b]` holds the latents of frames `a` to `b - 1`. They decode to exactly
    the frames that the whole video has there, and nothing else is decoded.
    `len(latents)` is the number of frames.

    Args:
        array: float array of shape `(2n, h, w, C)`: content and motion of n chunks, in
            turns.
        num_frames: int. Frames of the video.
        height: int. Rows of a frame, in pixels.
        width: int. Columns of a frame, in pixels.
        fps: float. Frames per second; their mean, if `times` tells more.
        temporal_compression: int. k: a chunk has k + 1 frames.
        chunking: `"disjoint"` or `"shared"`: whether neighbouring chunks have a frame
            in common. Defaults to `"disjoint"`.
        dtype: str. The dtype of the video: `"uint8"`; or `"float16"`, `"float32"` or
            `"float64"` for values in [-1, 1]. Defaults to `"uint8"`.
        preset: str or None. The preset of the model that encoded the video.
        encoder_id: str or None. `VideoEncoder.fingerprint()` of the encoder; with None,
            any model with latents of this shape may decode them.
        start: int. The number, in the video, of the first frame. Defaults to `0`.
        first_chunk: int. The number, in the video, of the first chunk. Defaults to `0`.
        pixel_aspect: pair of int. Width and height of a pixel, in some unit. Defaults
            to `(1, 1)`, a square.
        times: float array of shape `(num_frames + 1,)`, or None for a constant rate.
            The seconds at which each frame is shown, and at which the last one ends,
            counted from the first frame of the video. Defaults to None.
        noise: `InvertedNoise` of the chunks, or None. What decoding starts from,
            instead of random noise. Defaults to None.

    Raises:
        ValueError: if the arguments contradict each other.

    Example:

    >>> latents = Latents(np.zeros((4, 2, 3, 8)), 10, 15, 17, 25.0, 8)
    >>> latents.num_chunks, len(latents[4:7]), latents[4:7].start
    (2, 3, 4)
    """

    array: np.ndarray
    num_frames: int
    height: int
    width: int
    fps: float
    temporal_compression: int
    chunking: str = "disjoint"
    dtype: str = "uint8"
    preset: str | None = None
    encoder_id: str | None = None
    start: int = 0
    first_chunk: int = 0
    pixel_aspect: tuple[int, int] = (1, 1)
    times: np.ndarray | None = None
    noise: InvertedNoise | None = None

    def __post_init__(self) -> None:
        self._check_types()
        layout = ChunkLayout(self.temporal_compression, self.chunking)
        if self.dtype not in FRAME_DTYPES:
            raise ValueError(
                f"`dtype` must be one of {', '.join(FRAME_DTYPES)}. "
                f"Received: dtype={self.dtype}"
            )
        shape = tuple(self.array.shape)
        size = latent_size(self.height, self.width)
        if len(shape) != 4 or shape[0] % 2 or shape[1:3] != size or not shape[0]:
            raise ValueError(
                f"Latents of {self.height}x{self.width} pixels must have shape "
                f"(2n, {size[0]}, {size[1]}, C). Received: array.shape={shape}"
            )
        first = layout.start(self.first_chunk)
        capacity = layout.start(self.num_chunks - 1) + self.temporal_compression + 1
        if not first <= self.start < self.stop <= first + capacity:
            raise ValueError(
                f"{self.num_chunks} chunks from chunk {self.first_chunk} hold frames "
                f"{first} to {first + capacity - 1}. "
                f"Received: frames {self.start} to {self.stop - 1}"
            )
        if self.noise is not None and len(self.noise.array) != self.num_chunks:
            raise ValueError(
                f"There must be noise for {self.num_chunks} chunks. "
                f"Received: noise.array.shape={tuple(self.noise.array.shape)}"
            )

    def _check_types(self):
        whole = ("num_frames", "height", "width", "temporal_compression")
        check_whole(1, _MAX_WHOLE, **{name: getattr(self, name) for name in whole})
        check_whole(0, _MAX_WHOLE, start=self.start, first_chunk=self.first_chunk)
        check_real(*FPS_RANGE, fps=self.fps)
        # JSON has no numbers of NumPy. A whole rate stays whole, as the hash has it.
        for name in (*whole, "start", "first_chunk"):
            object.__setattr__(self, name, int(getattr(self, name)))
        fps_type = int if isinstance(self.fps, numbers.Integral) else float
        object.__setattr__(self, "fps", fps_type(self.fps))
        # JSON has lists.
        if not isinstance(self.pixel_aspect, tuple | list) or len(
            self.pixel_aspect
        ) != len(_SQUARE):
            raise ValueError(
                "`pixel_aspect` must be a width and a height. "
                f"Received: pixel_aspect={reprlib.repr(self.pixel_aspect)}"
            )
        width, height = self.pixel_aspect
        check_whole(1, _MAX_ASPECT, **{"pixel_aspect[0]": width})
        check_whole(1, _MAX_ASPECT, **{"pixel_aspect[1]": height})
        object.__setattr__(self, "pixel_aspect", (int(width), int(height)))
        if self.times is not None:
            object.__setattr__(self, "times", check_times(self.times, self.num_frames))
        for name in ("chunking", "dtype", "preset", "encoder_id"):
            value = getattr(self, name)
            may_be_none = name in ("preset", "encoder_id")
            if not isinstance(value, str) and not (value is None and may_be_none):
                raise ValueError(
                    f"`{name}` must be a str. Received: {name}={reprlib.repr(value)}"
                )

    @property
    def num_chunks(self) -> int:
        """n: the number of chunks."""
        return len(self.array) // 2

    @property
    def stop_chunk(self) -> int:
        """The number, in the video, of the chunk after the last one."""
        return self.first_chunk + self.num_chunks

    @property
    def stop(self) -> int:
        """The number, in the video, of the frame after the last one."""
        return self.start + self.num_frames

    @property
    def duration(self) -> float:
        """The duration in seconds."""
        if self.times is None:
            return self.num_frames / self.fps
        return float(self.times[-1] - self.times[0])

    @property
    def is_constant_rate(self) -> bool:
        """Whether every frame is shown for the same time, `1 / fps` seconds."""
        return self.times is None

    @property
    def frame_times(self) -> np.ndarray:
        """`times`, also where the rate is constant.

        A float64 array of shape `(num_frames + 1,)`.
        """
        if self.times is None:
            return np.arange(self.start, self.stop + 1) / self.fps
        return self.times

    @property
    def shown(self) -> Iterable[tuple[float, ...]]:
        """When each frame is shown, from the first on, and how long, in seconds.

        As `VideoWriter.write` takes them: `()` where the rate is constant, which the
        writer knows.
        """
        if self.times is None:
            return itertools.repeat((), self.num_frames)
        times = self.times - self.times[0]
        return zip(times[:-1].tolist(), np.diff(times).tolist(), strict=True)

    def __repr__(self) -> str:
        return (
            f"Latents({self.num_frames} frames of {self.height}x{self.width} pixels, "
            f"{self.fps:.5g} fps, k={self.temporal_compression}, "
            f"array={tuple(self.array.shape)} {self.array.dtype}, "
            f"preset={self.preset!r})"
        )

    def __len__(self) -> int:
        return self.num_frames

    def __getitem__(self, index: slice) -> Self:
        if not isinstance(index, slice) or index.step not in (None, 1):
            raise TypeError(
                "Latents are sliced by frames, latents[a:b]. "
                f"Received: latents[{index}]"
            )
        first, last, _ = index.indices(self.num_frames)
        if last <= first:
            raise ValueError(
                f"A slice of {self.num_frames} frames must hold at least one. "
                f"Received: latents[{index.start}:{index.stop}]"
            )
        start, stop = self.start + first, self.start + last
        layout = ChunkLayout(self.temporal_compression, self.chunking)
        low, high = layout.chunks_for(start, stop)
        low = max(low, self.first_chunk)
        high = min(high, self.first_chunk + self.num_chunks - 1)
        chunks = low - self.first_chunk, high + 1 - self.first_chunk
        return dataclasses.replace(
            self,
            array=self.chunks(*chunks),
            num_frames=last - first,
            start=start,
            first_chunk=low,
            times=None if self.times is None else self.times[first : last + 1],
            noise=None if self.noise is None else self.noise.chunks(*chunks),
        )

    def chunks(self, first: int, last: int) -> np.ndarray:
        """Returns the array of chunks `first` to `last - 1`; chunk 0 is its first."""
        return self.array[2 * first : 2 * last]

    @classmethod
    def join(cls, pieces: Iterable["Latents"]) -> Self:
        """Joins consecutive pieces: slices, or what `VideoCodec.encode_stream` yields.

        Args:
            pieces: iterable of `Latents`, each starting where the last one ended.
                Chunks that two of them hold, as slices do, must be equal.

        Raises:
            ValueError: if there are none, or one does not follow the one before.
        """
        pieces = list(pieces)
        if not pieces:
            raise ValueError("At least one piece is needed. Received: no pieces")
        header, times = pieces[0].header, FrameTimes()
        stop = pieces[0].stop_chunk
        for piece in pieces[1:]:
            header = extended_header(header, stop, piece)
            stop = max(stop, piece.stop_chunk)
        for piece in pieces:
            times.append(piece)
        places = [piece.first_chunk - pieces[0].first_chunk for piece in pieces]
        array = join_rows([piece.array for piece in pieces], [2 * p for p in places])
        noise = InvertedNoise.join([piece.noise for piece in pieces], places)
        return cls(array, **header, times=times.values, noise=noise)

    @property
    def header(self) -> dict[str, Any]:
        """All fields but arrays, as a dict that can be written as JSON.

        The pixel aspect is left out if pixels are square, as in files from before it.
        """
        names = [field.name for field in dataclasses.fields(self)]
        left_out = {"array", "times", "noise"}
        if self.pixel_aspect == _SQUARE:
            left_out.add("pixel_aspect")
        return {name: getattr(self, name) for name in names if name not in left_out}

    @property
    def content_hash(self) -> str:
        """SHA-256 of the header, the latents and the times, in hexadecimal."""
        digest = ContentHash()
        together = max(1, _BLOCK // (2 * math.prod(self.array.shape[1:]) or 1))
        for i in range(0, self.num_chunks, together):
            digest.update(self.chunks(i, i + together))
        return digest.hexdigest(self.header, self.times)

    def save(self, path: StrPath, dtype: LatentsDtype = "float16") -> None:
        """Writes an HDF5 file, which appears when it is complete.

        Args:
            path: path to write to, ending in `.h5` or `.hdf5`.
            dtype: `"float16"`, which changes values by less than 0.1 %, or `"float32"`.
                Defaults to `"float16"`.

        Raises:
            ValueError: if the path ends otherwise, the file cannot be written, or a
                value is too large for float16.
        """
        with LatentsWriter(path, dtype) as writer:
            writer.write(self)

    @classmethod
    def load(
        cls, path: StrPath, lazy: bool = False, max_memory: str | float | None = None
    ) -> Self:
        """Reads an HDF5 file that `save` wrote.

        Args:
            path: path of the file.
            lazy: bool. Whether the values stay in the file until they are used, for
                long videos. Such latents cannot be pickled: give another process the
                path. Defaults to `False`.
            max_memory: int, str or None. The most bytes to hold at a time, such as
                `2e9` or `"2GB"`: the values, or if `lazy` those of one chunk. Defaults
                to 4 GB.

        Raises:
            ValueError: if the file does not exist, is of another kind, is damaged or
                needs more memory.
        """
        return read_latents(cls, path, lazy, max_memory)


def as_latents(latents: Latents | StrPath) -> Latents:
    """Returns `Latents`; of a path those in the file, where their values stay.

    Raises:
        ValueError: if they are neither, or the file cannot be read.
    """
    if isinstance(latents, str | os.PathLike):
        return Latents.load(latents, lazy=True)
    if not isinstance(latents, Latents):
        raise ValueError(
            "Give Latents, or the path of their file. "
            f"Received: {type(latents).__name__}"
        )
    return latents
