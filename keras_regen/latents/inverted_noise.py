"""The noise that re-generates a video, next to its latents."""

import dataclasses
import json
import math
from typing import Any, Self

import h5py
import numpy as np

from keras_regen.checks import check_whole, parse_json
from keras_regen.hdf5_file import check_stored
from keras_regen.latents.rows import append_rows, join_rows

NOISE = "noise"
_AXES = 6
_STORED_DTYPES = ("float16", "float32")
_MAX_WHOLE = 2**31


@dataclasses.dataclass(frozen=True, eq=False)
class InvertedNoise:
    """The noise from which a decoder re-generates the chunks of a video.

    It has about as many values as the video, and belongs to one decoder, one way of
    tiling and one number of sampling steps; see `VideoCodec.invert`.

    Args:
        array: float array of shape `(n, tiles, F, rows, columns, 3)`: for each of n
            chunks and each of its tiles, the noise of its k + 1 frames and of
            `blend_frames` before and after.
        blend_frames: int.
        tile_size: int. The longest side of a tile, in pixels.
        num_steps: int. Sampling steps.
        schedule: str. Their times, see `diffusion.sampling_time`.
        decoder_id: str. The decoder's label, `VideoCodec.decoder_id`.

    Raises:
        ValueError: if the array has another number of axes or a number is negative.
    """

    array: np.ndarray
    blend_frames: int
    tile_size: int
    num_steps: int
    schedule: str
    decoder_id: str

    def __post_init__(self) -> None:
        shape = tuple(self.array.shape)
        if len(shape) != _AXES or shape[-1] != 3 or 0 in shape:
            raise ValueError(
                "Noise must have shape (n, tiles, F, rows, columns, 3). "
                f"Received: array.shape={shape}"
            )
        check_whole(0, _MAX_WHOLE, blend_frames=self.blend_frames)
        check_whole(1, _MAX_WHOLE, tile_size=self.tile_size, num_steps=self.num_steps)
        # JSON has no numbers of NumPy.
        for name in ("blend_frames", "tile_size", "num_steps"):
            object.__setattr__(self, name, int(getattr(self, name)))
        for name in ("schedule", "decoder_id"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(
                    f"`{name}` must be a str. Received: {getattr(self, name)!r:.200}"
                )

    @property
    def header(self) -> dict[str, Any]:
        """All fields but the array, as a dict that can be written as JSON."""
        names = [field.name for field in dataclasses.fields(self)]
        return {name: getattr(self, name) for name in names if name != "array"}

    def chunks(self, first: int, last: int) -> Self:
        """Returns the noise of chunks `first` to `last - 1`."""
        return dataclasses.replace(self, array=self.array[first:last])

    @classmethod
    def join(
        cls, pieces: "list[InvertedNoise | None]", places: list[int]
    ) -> "InvertedNoise | None":
        """Joins the noise of consecutive pieces of `Latents`, or returns None.

        Args:
            pieces: list of `InvertedNoise` or None.
            places: list of int. The chunk of the result at which each begins.

        Raises:
            ValueError: if pieces have none, or another's.
        """
        first = pieces[0]
        if all(piece is None for piece in pieces):
            return None
        found = [piece for piece in pieces if piece is not None]
        if first is None or len(found) < len(pieces):
            raise ValueError(
                "All pieces must have noise, or none. "
                f"Received: {len(found)} of {len(pieces)}"
            )
        for piece in found:
            if piece.header != first.header:
                raise ValueError(
                    f"All pieces must have noise of {first.header}. "
                    f"Received: {piece.header}"
                )
        array = join_rows([piece.array for piece in found], places)
        return dataclasses.replace(first, array=array)

    # === In files ===

    def append_to(self, file: h5py.File, dtype: str, place: int) -> None:
        """Writes the noise behind what the file has.

        Args:
            file: `h5py.File`.
            dtype: str. How values are stored.
            place: int. The chunk at which it begins. The file may have the first ones.

        Raises:
            ValueError: if it is not finite in `dtype`, or the file has another's.
        """
        header = json.dumps(self.header, sort_keys=True)
        if NOISE not in file:
            file.create_dataset(
                NOISE,
                shape=(0, *self.array.shape[1:]),
                maxshape=(None, *self.array.shape[1:]),
                chunks=(1, 1, *self.array.shape[2:]),
                dtype=dtype,
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            ).attrs["header"] = header
        dataset = file[NOISE]
        if dataset.attrs["header"] != header:
            raise ValueError(
                f"All pieces must have noise of {dataset.attrs['header']}. "
                f"Received: {header}"
            )
        for i in range(len(self.array)):
            with np.errstate(over="ignore"):
                values = np.asarray(self.array[i : i + 1]).astype(dtype)
            if not np.all(np.isfinite(values)):
                raise ValueError(f"A value of the noise is not finite as {dtype}")
            append_rows(dataset, values, place + i)

    @classmethod
    def stored_in(cls, file: h5py.File, wrap: Any) -> "InvertedNoise | None":
        """Returns the noise in an open file, before any value is read.

        Args:
            file: `h5py.File`.
            wrap: callable of a dataset that returns an array which is read when it is
                used.

        Raises:
            ValueError: if it is not as `append_to` writes it; the message is the reason
                alone.
        """
        if NOISE not in file:
            return None
        values = file[NOISE]
        if not isinstance(values, h5py.Dataset) or len(values.shape or ()) != _AXES:
            raise ValueError(f"its `{NOISE}` has not {_AXES} axes")
        if values.dtype.newbyteorder("=") not in map(np.dtype, _STORED_DTYPES):
            raise ValueError(f"its `{NOISE}` is of dtype {values.dtype}")
        check_stored(values)
        return cls(wrap(values), **parse_json(values.attrs.get("header")))

    def bytes_at_once(self, lazy: bool) -> int:
        """Returns the bytes that are held when it is read: all, or one chunk's."""
        count = math.prod(self.array.shape[1 if lazy else 0 :])
        return count * np.dtype(self.array.dtype).itemsize


def noise_at(noise: np.ndarray, blend_frames: int, times: np.ndarray) -> np.ndarray:
    """Returns the noise of a tile at any times.

    Between two frames it is interpolated on the sphere, which keeps its variance.

    Args:
        noise: array of shape `(F, rows, columns, 3)`, of consecutive frames.
        blend_frames: int. Of these, the frames before the chunk's first.
        times: float array of shape `(n,)`, in frames from the chunk's first.

    Returns:
        float32 array of shape `(n, rows, columns, 3)`.
    """
    places = np.clip(times + blend_frames, 0, len(noise) - 1)
    below = np.minimum(places.astype(int), len(noise) - 1)
    above = np.minimum(below + 1, len(noise) - 1)
    return np.stack(
        [
            noise[i].astype("float32")
            if not share
            else slerp(noise[i], noise[j], share)
            for i, j, share in zip(below, above, places - below, strict=True)
        ]
    )


def slerp(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Interpolates between two arrays of noise on the sphere.

    Unlike a mean, this does not lose variance where the two are independent.

    Args:
        first: float array.
        second: float array of the same shape.
        share: float. Of the second, 0 to 1.

    Returns:
        float32 array.
    """
    a, b = (np.asarray(x, "float64") for x in (first, second))
    norms = np.linalg.norm(a), np.linalg.norm(b)
    cosine = np.clip(np.vdot(a, b) / max(norms[0] * norms[1], 1e-12), -1.0, 1.0)
    angle = np.arccos(cosine)
    # Parallel or opposite: every great circle will do, and a line is simpler.
    if np.sin(angle) < 1e-3:
        weights = 1.0 - share, share
    else:
        weights = (np.sin(w * angle) / np.sin(angle) for w in (1.0 - share, share))
    of_first, of_second = weights
    return (of_first * a + of_second * b).astype("float32")
