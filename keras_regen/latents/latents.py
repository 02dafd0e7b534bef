"""The latents of a whole video."""

import dataclasses

import numpy as np

from keras_regen.latents.chunk_layout import ChunkLayout
from keras_regen.latents.latents_file import (
    ContentHash,
    LatentsWriter,
    extended_header,
    read_latents,
)
from keras_regen.pixels import FRAME_DTYPES


@dataclasses.dataclass(frozen=True, eq=False)
class Latents:
    """The latents of a video, or of some frames of it, and what decoding must know.

    `latents[a:b]` are those of frames `a` to `b`: they decode to the very frames that
    the whole would have there, without decoding the rest. `len(latents)` counts frames.

    Args:
        array: float array of shape `(2n, h, w, C)`, content and motion of n chunks.
        num_frames: int. Frames of the video.
        height: int. Rows of a frame, in pixels.
        width: int. Columns of a frame, in pixels.
        fps: float. Frames per second.
        temporal_compression: int. k: a chunk has k + 1 frames.
        chunking: `"disjoint"` or `"shared"`: whether neighbouring chunks have a frame
            in common. Defaults to `"disjoint"`.
        dtype: str. The video's: `"uint8"`, or `"float16"`, `"float32"` or `"float64"`
            for values in [-1, 1]. Defaults to `"uint8"`.
        preset: str or None. The preset of the model that encoded it.
        encoder_id: str or None. The encoder, as `VideoEncoder.fingerprint()`; None
            decodes with any model of the same shape.
        start: int. The video's frame that the first of these is. Defaults to `0`.
        first_chunk: int. The video's chunk that the first of these is. Defaults to `0`.

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
        layout = ChunkLayout(self.temporal_compression, self.chunking)
        for name in ("num_frames", "height", "width", "fps"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(
                    f"`{name}` must be positive. Received: {name}={getattr(self, name)}"
                )
        if self.dtype not in FRAME_DTYPES:
            raise ValueError(
                f"`dtype` must be one of {', '.join(FRAME_DTYPES)}. "
                f"Received: dtype={self.dtype}"
            )
        shape = tuple(self.array.shape)
        needed = (-(-self.height // 8), -(-self.width // 8))
        if len(shape) != 4 or shape[0] % 2 or shape[1:3] != needed or not shape[0]:
            raise ValueError(
                f"Latents of {self.height}x{self.width} pixels must have shape "
                f"(2n, {needed[0]}, {needed[1]}, C). Received: array.shape={shape}"
            )
        first = layout.start(self.first_chunk)
        capacity = layout.start(self.num_chunks - 1) + self.temporal_compression + 1
        if not first <= self.start < self.stop <= first + capacity:
            raise ValueError(
                f"{self.num_chunks} chunks from chunk {self.first_chunk} hold frames "
                f"{first} to {first + capacity - 1}. "
                f"Received: frames {self.start} to {self.stop - 1}"
            )

    @property
    def num_chunks(self):
        """n: chunks held."""
        return len(self.array) // 2

    @property
    def stop(self):
        """The video's frame after the last of these."""
        return self.start + self.num_frames

    @property
    def duration(self):
        """Seconds."""
        return self.num_frames / self.fps

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
                f"A slice of {self.num_frames} frames must hold one at least. "
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
        """The array of chunks `first` to `last - 1` of these."""
        return self.array[2 * first : 2 * last]

    @classmethod
    def join(cls, pieces):
        """The latents of consecutive pieces, as `VideoCodec.encode_stream` yields them.

        Args:
            pieces: iterable of `Latents`, each beginning where the last one ended.

        Raises:
            ValueError: if there are none, or one does not follow the one before.
        """
        pieces = list(pieces)
        if not pieces:
            raise ValueError("There must be a piece to join. Received: no pieces")
        header = pieces[0].header
        for piece in pieces[1:]:
            header = extended_header(header, piece)
        return cls(np.concatenate([piece.array for piece in pieces]), **header)

    @property
    def header(self):
        """All but the array, as a dict that JSON takes."""
        names = [field.name for field in dataclasses.fields(self)]
        return {name: getattr(self, name) for name in names if name != "array"}

    @property
    def content_hash(self):
        """SHA-256 of header and values, in hexadecimal."""
        digest = ContentHash()
        for i in range(self.num_chunks):
            digest.update(self.chunks(i, i + 1))
        return digest.hexdigest(self.header)

    def save(self, path, dtype="float16"):
        """Writes an HDF5 file, which appears when it is whole.

        Args:
            path: path to write to.
            dtype: `"float16"`, with an error of less than 0.1 % of every value, or
                `"float32"`. Defaults to `"float16"`.

        Raises:
            ValueError: if it cannot be written, or a value is beyond float16.
        """
        with LatentsWriter(path, dtype) as writer:
            writer.write(self)

    @classmethod
    def load(cls, path, lazy=False):
        """Reads an HDF5 file that `save` wrote.

        Args:
            path: path of the file.
            lazy: bool. Whether the values stay in the file, `array` being read where
                it is used: for films. Defaults to `False`.

        Raises:
            ValueError: if there is no such file, it is another kind of file, or it is
                damaged.
        """
        return read_latents(cls, path, lazy)
