"""The latents of a whole video."""

import dataclasses
import math
import reprlib

import numpy as np

from keras_regen.checks import check_real, check_whole
from keras_regen.latents.chunk_layout import ChunkLayout
from keras_regen.latents.latents_file import (
    ContentHash,
    LatentsWriter,
    extended_header,
    read_latents,
)
from keras_regen.pixels import FRAME_DTYPES, latent_size

# What FFmpeg and NumPy count with.
_MAX_WHOLE = 2**62
_MIN_FPS, _MAX_FPS = 1e-6, 1e6
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
        fps: float. Frames per second.
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

    def __post_init__(self):
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

    def _check_types(self):
        whole = ("num_frames", "height", "width", "temporal_compression")
        check_whole(1, _MAX_WHOLE, **{name: getattr(self, name) for name in whole})
        check_whole(0, _MAX_WHOLE, start=self.start, first_chunk=self.first_chunk)
        check_real(_MIN_FPS, _MAX_FPS, fps=self.fps)
        for name in ("chunking", "dtype", "preset", "encoder_id"):
            value = getattr(self, name)
            may_be_none = name in ("preset", "encoder_id")
            if not isinstance(value, str) and not (value is None and may_be_none):
                raise ValueError(
                    f"`{name}` must be a str. Received: {name}={reprlib.repr(value)}"
                )

    @property
    def num_chunks(self):
        """n: the number of chunks."""
        return len(self.array) // 2

    @property
    def stop(self):
        """The number, in the video, of the frame after the last one."""
        return self.start + self.num_frames

    @property
    def duration(self):
        """The duration in seconds."""
        return self.num_frames / self.fps

    def __repr__(self):
        return (
            f"Latents({self.num_frames} frames of {self.height}x{self.width} pixels, "
            f"{self.fps:.5g} fps, k={self.temporal_compression}, "
            f"array={tuple(self.array.shape)} {self.array.dtype}, "
            f"preset={self.preset!r})"
        )

    def __len__(self):
        return self.num_frames

    def __getitem__(self, index):
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
        return dataclasses.replace(
            self,
            array=self.chunks(low - self.first_chunk, high + 1 - self.first_chunk),
            num_frames=last - first,
            start=start,
            first_chunk=low,
        )

    def chunks(self, first, last):
        """Returns the array of chunks `first` to `last - 1`; chunk 0 is its first."""
        return self.array[2 * first : 2 * last]

    @classmethod
    def join(cls, pieces):
        """Joins consecutive pieces, as `VideoCodec.encode_stream` yields them.

        Args:
            pieces: iterable of `Latents`, each starting where the last one ended.

        Raises:
            ValueError: if there are none, or one does not follow the one before.
        """
        pieces = list(pieces)
        if not pieces:
            raise ValueError("At least one piece is needed. Received: no pieces")
        header = pieces[0].header
        for piece in pieces[1:]:
            header = extended_header(header, piece)
        return cls(np.concatenate([piece.array for piece in pieces]), **header)

    @property
    def header(self):
        """All fields but the array, as a dict that can be written as JSON."""
        names = [field.name for field in dataclasses.fields(self)]
        return {name: getattr(self, name) for name in names if name != "array"}

    @property
    def content_hash(self):
        """SHA-256 of the header and the values, in hexadecimal."""
        digest = ContentHash()
        together = max(1, _BLOCK // (2 * math.prod(self.array.shape[1:]) or 1))
        for i in range(0, self.num_chunks, together):
            digest.update(self.chunks(i, i + together))
        return digest.hexdigest(self.header)

    def save(self, path, dtype="float16"):
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
    def load(cls, path, lazy=False, max_memory=None):
        """Reads an HDF5 file that `save` wrote.

        Args:
            path: path of the file.
            lazy: bool. Whether the values stay in the file until they are used, for
                long videos. Defaults to `False`.
            max_memory: int, str or None. The most bytes to hold at a time, such as
                `2e9` or `"2GB"`: the values, or if `lazy` those of one chunk. Defaults
                to 4 GB.

        Raises:
            ValueError: if the file does not exist, is of another kind, is damaged or
                needs more memory.
        """
        return read_latents(cls, path, lazy, max_memory)
