"""Latents in HDF5 files: written piece by piece, read at once or when used."""

import contextlib
import dataclasses
import hashlib
import json
import math
import numbers
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from keras_regen.atomic_output import AtomicOutput, error_reason
from keras_regen.checks import check_path, parse_json
from keras_regen.hdf5_file import Hdf5Writer, check_stored, open_hdf5
from keras_regen.latents.frame_times import FrameTimes
from keras_regen.latents.inverted_noise import NOISE, InvertedNoise
from keras_regen.latents.lazy_array import LazyArray
from keras_regen.latents.rows import append_rows
from keras_regen.sizes import parse_memory
from keras_regen.types import LatentsDtype, StrPath
from keras_regen.video import video_digest

if TYPE_CHECKING:
    from keras_regen.latents.latents import Latents

SUFFIXES = (".h5", ".hdf5")
_FORMAT = "keras-regen latents"
_VERSION = 1
# Values to compress together, where a chunk of the video has fewer.
_BLOCK = 32768
_MAX_MEMORY = "4GB"
# What h5py raises for damaged files, beside ValueError.
DAMAGE = (OSError, RuntimeError, KeyError, TypeError)
_STORED_DTYPES = ("float16", "float32", "float64")
_TIMES = "times"
_VIDEO = "video"


class LatentsWriter:
    """Writes latents piece by piece, in constant memory.

    The file appears when the `with` block ends without an error. It holds the dataset
    `latents`, compressed without loss, and the attributes `format`, `version`, `header`
    (JSON) and `content_hash`. If the latents have noise, it also holds the dataset
    `noise`, with an attribute `header`. If the frame rate varies, it also holds the
    dataset `times`, for which the writer keeps 8 bytes a frame. If the video is given,
    the attribute `video` tells it from others.

    Args:
        path: path to write to, ending in `.h5` or `.hdf5`.
        dtype: `"float16"` or `"float32"`. How values are stored. Defaults to
            `"float16"`.
        video: path or None. The video that the latents are of, see `stored_video`.

    Raises:
        ValueError: if an argument is not as above, or the file cannot be written.
    """

    def __init__(
        self,
        path: StrPath,
        dtype: LatentsDtype = "float16",
        video: StrPath | None = None,
    ) -> None:
        self.check_dtype(dtype)
        self._dtype = dtype
        self._video = None if video is None else video_digest(video)
        self._output = _open_output(path)
        try:
            self._hdf5 = Hdf5Writer(self._output.temporary)
        except OSError as error:
            self._output.discard()
            raise self._output.error(error_reason(error)) from error
        self._dataset: h5py.Dataset = None
        self._header: dict[str, Any] | None = None
        self._hash = ContentHash()
        self._times = FrameTimes()

    @staticmethod
    def check(path: StrPath) -> None:
        """Raises ValueError unless latents can be written to a path; leaves it."""
        _open_output(path).discard()

    @staticmethod
    def check_dtype(dtype: str) -> None:
        """Raises ValueError unless values can be stored as a dtype."""
        if dtype not in ("float16", "float32"):
            raise ValueError(
                f'`dtype` must be "float16" or "float32". Received: dtype={dtype!r}'
            )

    def write(self, piece: "Latents") -> None:
        """Appends `Latents` that start where the last piece ended.

        Chunks that are written already, which slices may hold, must be equal.

        Raises:
            ValueError: if they start elsewhere, or hold a value that cannot be stored.
            OutputError: if the file cannot be written.
        """
        if self._header is None:
            self._header = piece.header
            self._create(piece.array.shape[1:])
        else:
            stop = self._header["first_chunk"] + len(self._dataset) // 2
            self._header = extended_header(self._header, stop, piece)
        self._times.append(piece)
        num_chunks = len(self._dataset) // 2
        place = piece.first_chunk - self._header["first_chunk"]
        for i in range(piece.num_chunks):
            with np.errstate(over="ignore"):
                values = np.asarray(piece.chunks(i, i + 1)).astype(self._dtype)
            if not np.all(np.isfinite(values)):
                reason = f"a value is not finite as {self._dtype}"
                # This is about the latents, so not an `OutputError`.
                raise ValueError(str(self._output.error(reason)))
            if append_rows(self._dataset, values, 2 * (place + i)):
                self._hash.update(values)
        if piece.noise is not None:
            self._write_noise(piece.noise, num_chunks, place)
        elif NOISE in self._hdf5.file:
            raise ValueError(
                "All pieces must have noise, or none. Received: one without"
            )
        try:
            self._hdf5.check()
        except OSError as error:
            raise self._output.error(error_reason(error)) from error

    def _write_noise(self, noise, num_chunks, place):
        if len(self._hdf5.file.get(NOISE, ())) != num_chunks:
            raise ValueError("All pieces must have noise, or none. Received: one with")
        try:
            noise.append_to(self._hdf5.file, self._dtype, place)
        except ValueError as error:
            raise ValueError(str(self._output.error(error))) from error

    def _create(self, shape):
        together = max(1, _BLOCK // (2 * int(np.prod(shape))))
        self._dataset = self._hdf5.file.create_dataset(
            "latents",
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(2 * together, *shape),
            dtype=self._dtype,
            compression="gzip",
            shuffle=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, *exception: Any
    ) -> None:
        try:
            if exception_type is None:
                self._write_attributes()
                self._hdf5.close()
                self._hdf5.check()
                self._output.commit()
        except OSError as error:
            raise self._output.error(error_reason(error)) from error
        finally:
            self._hdf5.close()
            self._output.discard()

    def _write_attributes(self):
        if self._header is None:
            raise self._output.error("there are none")
        self._hdf5.file.attrs["format"] = _FORMAT
        self._hdf5.file.attrs["version"] = _VERSION
        self._hdf5.file.attrs["header"] = json.dumps(self._header)
        times = self._times.values
        if times is not None:
            self._hdf5.file.create_dataset(
                _TIMES, data=times, compression="gzip", shuffle=True
            )
        digest = self._hash.hexdigest(self._header, times)
        self._hdf5.file.attrs["content_hash"] = digest
        if self._video is not None:
            self._hdf5.file.attrs[_VIDEO] = self._video


def _open_output(path):
    """Returns the `AtomicOutput` of latents, or raises ValueError."""
    path = check_path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"Latents are written as HDF5, which ends in {' or '.join(SUFFIXES)}. "
            f"Received: path={path}"
        )
    return AtomicOutput(path, "latents")


def read_latents(
    cls: Any, path: StrPath, lazy: bool = False, max_memory: str | float | None = None
) -> Any:
    """Reads `Latents`, made by `cls`; see `Latents.load`."""
    path = check_path(path)
    max_memory = parse_memory(max_memory or _MAX_MEMORY)
    file = open_latents(path)
    try:
        latents = _read(cls, file, path, lazy, max_memory)
        if not lazy:
            latents = dataclasses.replace(latents, array=np.asarray(latents.array))
            arrays = [latents.array]
            if (noise := latents.noise) is not None:
                arrays.append(np.asarray(noise.array))
                noise = dataclasses.replace(noise, array=arrays[-1])
                latents = dataclasses.replace(latents, noise=noise)
            if not all(np.all(np.isfinite(array)) for array in arrays):
                raise unreadable(path, "it has values that are NaN or infinite")
    except BaseException as error:
        file.close()
        if isinstance(error, DAMAGE):
            raise unreadable(path, "it is damaged") from error
        raise
    if not lazy:
        file.close()
    return latents


def open_latents(path: StrPath) -> h5py.File:
    """Opens a file of latents; returns the `h5py.File`.

    Raises:
        ValueError: if the file does not exist, is of another kind or needs other files.
    """
    try:
        return open_hdf5(path)
    except FileNotFoundError as error:
        raise unreadable(path, "there is no such file") from error
    except OSError as error:
        reason = "it is truncated" if "truncated" in str(error) else "it is not HDF5"
        raise unreadable(path, reason) from error
    except ValueError as error:
        raise unreadable(path, str(error)) from error


def stored_video(path: StrPath) -> str | None:
    """Returns the `video_digest` of the video that a file of latents was made of.

    Returns:
        str, or None if the file does not tell, as those of earlier versions.

    Raises:
        ValueError: as for `open_latents`.
    """
    with open_latents(path) as file, _unreadable_where(path, "", *DAMAGE):
        video = file.attrs.get(_VIDEO)
    return video if isinstance(video, str) else None


def stored_values(file: h5py.File) -> h5py.Dataset:
    """Returns the dataset of latents in an open file, before any value is read.

    Raises:
        ValueError: if there is none, or none that `LatentsWriter` could have written;
            the message is the reason alone.
    """
    values = file.get("latents")
    if not isinstance(values, h5py.Dataset) or len(values.shape or ()) != 4:
        raise ValueError("it has no array `latents` of four axes")
    if values.dtype.newbyteorder("=") not in map(np.dtype, _STORED_DTYPES):
        raise ValueError(f"its values are of dtype {values.dtype}")
    check_stored(values)
    return values


def _read(cls, file, path, lazy, max_memory):
    # h5py raises errors of any of these types for attributes of other types.
    with _unreadable_where(path, "its header is damaged: ", KeyError, TypeError):
        kind, version, header, expected = (
            file.attrs.get(name)
            for name in ("format", "version", "header", "content_hash")
        )
    if not isinstance(kind, str) or kind != _FORMAT:
        raise unreadable(path, "it does not hold latents of keras-regen")
    if not isinstance(version, numbers.Integral) or version != _VERSION:
        raise unreadable(path, f"it is of version {version}, not {_VERSION}")
    with _unreadable_where(path):
        values = stored_values(file)
        _check_memory(values, lazy, max_memory)
    with _unreadable_where(path, "its header is damaged: ", TypeError):
        latents = cls(_lazy(values), **parse_json(header))
    with _unreadable_where(path):
        times = _stored_times(file, latents.num_frames)
        latents = dataclasses.replace(latents, times=times)
    with _unreadable_where(path, "its noise is damaged: ", TypeError):
        noise = InvertedNoise.stored_in(file, _lazy)
        if noise is not None:
            if (need := noise.bytes_at_once(lazy)) > max_memory:
                raise ValueError(_too_large(need, lazy, max_memory))
            latents = dataclasses.replace(latents, noise=noise)
    if not isinstance(expected, str) or latents.content_hash != expected:
        raise unreadable(path, "its content does not have the hash in its header")
    return latents


def _stored_times(file, num_frames):
    """Returns the times of the frames in an open file, or None if it has none.

    Raises:
        ValueError: if they are not as `LatentsWriter` writes them; the message is the
            reason alone.
    """
    if _TIMES not in file:
        return None
    times = file[_TIMES]
    good = isinstance(times, h5py.Dataset) and times.shape == (num_frames + 1,)
    if not good or times.dtype.newbyteorder("=") != "float64":
        raise ValueError(f"its `{_TIMES}` are not {num_frames + 1} of float64")
    check_stored(times)
    return times[()].astype("float64", copy=False)


def _check_memory(values, lazy, max_memory):
    """Raises ValueError if more bytes would be held at a time than are allowed."""
    chunk = max(2 * math.prod(values.shape[1:]), math.prod(values.chunks or ()))
    held = max(chunk, 0 if lazy else values.size) * values.dtype.itemsize
    if held > max_memory:
        raise ValueError(_too_large(held, lazy, max_memory))


def _too_large(held, lazy, max_memory):
    advice = "" if lazy else "load them lazily, or "
    return (
        f"its values need {held / 1e9:.3g} GB at a time, and `max_memory` allows "
        f"{max_memory / 1e9:.3g} GB: {advice}give more"
    )


def _lazy(dataset):
    return LazyArray(
        lambda rows: dataset[rows.start : rows.stop],
        range(len(dataset)),
        dataset.shape[1:],
        dataset.dtype,
    )


@contextlib.contextmanager
def _unreadable_where(path, prefix="", *errors):
    """Names the path in a ValueError, or an error of other types."""
    try:
        yield
    except (ValueError, *errors) as error:
        raise unreadable(path, f"{prefix}{error}") from error


def unreadable(path: StrPath, reason: object) -> ValueError:
    """Returns the ValueError to raise for a file of latents."""
    return ValueError(f"Cannot read the latents: {reason}. Received: path={path}")


def extended_header(
    header: dict[str, Any], stop_chunk: int, piece: "Latents"
) -> dict[str, Any]:
    """Returns the header of latents together with the piece that follows them.

    Args:
        header: dict. The header of the latents.
        stop_chunk: int. The number of the chunk after their last one.
        piece: `Latents`, which may begin with chunks that they hold.

    Raises:
        ValueError: if the piece does not follow them.
    """
    expected = {
        **piece.header,
        **header,
        "num_frames": piece.num_frames,
        "start": header["start"] + header["num_frames"],
        "first_chunk": max(header["first_chunk"], min(stop_chunk, piece.first_chunk)),
    }
    if piece.header != expected:
        name = next(n for n in expected if piece.header.get(n) != expected[n])
        raise ValueError(
            f"A piece must follow the one before: {name} = {expected[name]}. "
            f"Received: {piece.header.get(name)}"
        )
    return {**header, "num_frames": header["num_frames"] + piece.num_frames}


class ContentHash:
    """The hash of latents that arrive piece by piece."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, array: np.ndarray) -> None:
        """Adds the values of a piece."""
        array = np.asarray(array)
        little_endian = array.dtype.newbyteorder("<")
        self._digest.update(array.astype(little_endian, order="C").tobytes())

    def hexdigest(self, header: dict[str, Any], times: np.ndarray | None = None) -> str:
        """Returns the hash of the pieces, the times if any, and the header.

        Returns:
            str. 64 hexadecimal digits.
        """
        digest = self._digest.copy()
        if times is not None:
            digest.update(times.astype("<f8").tobytes())
        digest.update(json.dumps(header, sort_keys=True).encode())
        return digest.hexdigest()
