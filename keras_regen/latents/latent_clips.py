"""Batches of stored latents, to train a latent model on."""

import pathlib
import reprlib
from typing import Any

import keras
import numpy as np

from keras_regen.checks import check_whole, parse_json, read_small
from keras_regen.latents.latent_dataset import INDEX
from keras_regen.latents.latents_file import (
    DAMAGE,
    open_latents,
    stored_values,
    unreadable,
)
from keras_regen.pixels import latent_size
from keras_regen.types import StrPath


class LatentClips(keras.utils.PyDataset):
    """Random windows of latents from a directory that `LatentDataset` wrote.

    Every window of `num_chunks` chunks of every video is equally likely, and is cropped
    at random. Batch `i` of epoch `e` depends only on (seed, e, i).

    Args:
        directory: path of the directory, with its `index.json`.
        batch_size: int. Windows in a batch.
        size: pair of int `(rows, columns)`. Size of the crop in latents, an eighth of
            its size in pixels.
        num_chunks: int. Consecutive chunks in a window. Defaults to `1`.
        steps_per_epoch: int or None. Batches in an epoch. Defaults to the number of
            windows divided by `batch_size`.
        normalize: bool. Whether to subtract each channel's mean and divide by its
            standard deviation, as listed in the index. Defaults to `True`.
        seed: int. Defaults to `0`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of `PyDataset`.

    Attributes:
        epoch: int. The current epoch; `fit` increments it.

    Returns:
        Batches `(latents,)`: float32 of shape `(B, 2 * num_chunks, rows, columns, C)`,
        content and motion in turns.

    Raises:
        ValueError: if there is no index, it is not one that `LatentDataset` writes, or
            no video is long and large enough; in a batch, if a file does not hold the
            latents in the index.
    """

    def __init__(
        self,
        directory: StrPath,
        batch_size: int,
        size: tuple[int, int],
        num_chunks: int = 1,
        steps_per_epoch: int | None = None,
        normalize: bool = True,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.directory = pathlib.Path(directory)
        self.batch_size = batch_size
        self.size = tuple(size)
        self.num_chunks = num_chunks
        self.normalize = normalize
        self.seed = seed
        self.epoch = 0
        files, mean, std = _read_index(self.directory / INDEX)
        # A channel with one value has no scale.
        std = np.where(std > 0, std, 1)
        # Content and motion take turns along the axis of frames.
        self._mean, self._std = (
            np.tile(values, (num_chunks, 1))[:, None, None] for values in (mean, std)
        )
        rows, columns = self.size

        def is_large_enough(file):
            height, width = latent_size(file["height"], file["width"])
            return (
                file["num_chunks"] >= num_chunks and height >= rows and width >= columns
            )

        self._files = [file for file in files if is_large_enough(file)]
        if not self._files:
            raise ValueError(
                f"No video has {num_chunks} chunks of {rows}x{columns} latents. "
                f"Received: num_chunks={num_chunks}, size={size}, {directory}"
            )
        windows = [file["num_chunks"] - num_chunks + 1 for file in self._files]
        self._ends = np.cumsum(windows)
        self.steps_per_epoch = steps_per_epoch or max(1, self._ends[-1] // batch_size)

    def __len__(self) -> int:
        return int(self.steps_per_epoch)

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: index={index}")
        rng = np.random.default_rng((self.seed, self.epoch, index))
        batch = np.stack([self._window(rng) for _ in range(self.batch_size)])
        return ((batch - self._mean) / self._std if self.normalize else batch,)

    def _window(self, rng):
        """Reads a random window, as a float32 array."""
        number = rng.integers(self._ends[-1])
        which = int(np.searchsorted(self._ends, number, side="right"))
        first = number - (self._ends[which - 1] if which else 0)
        path = self.directory / self._files[which]["latents"]
        with open_latents(path) as file:
            try:
                return self._crop(rng, stored_values(file), first)
            except ValueError as error:
                raise unreadable(path, str(error)) from error
            except DAMAGE as error:
                raise unreadable(path, "it is damaged") from error

    def _crop(self, rng, stored, first):
        """Reads the window that starts at chunk `first`, cropped at random."""
        length, height, width, channels = stored.shape
        rows, columns = self.size
        last = first + self.num_chunks
        if length < 2 * last or height < rows or width < columns:
            raise ValueError(f"{INDEX} has other sizes than its shape {stored.shape}")
        if channels != self._mean.shape[-1]:
            raise ValueError(
                f"{INDEX} has {self._mean.shape[-1]} channels, not {channels}"
            )
        top, left = (
            rng.integers(height - rows + 1),
            rng.integers(width - columns + 1),
        )
        window = stored[
            2 * first : 2 * last, top : top + rows, left : left + columns
        ].astype("float32")
        if not np.all(np.isfinite(window)):
            raise ValueError("a value is not finite")
        return window


def _read_index(path):
    """Reads an index; returns its files, and means and standard deviations.

    Returns:
        List of dict, and two float32 arrays of shape `(2, C)`.

    Raises:
        ValueError: if there is no index, or it is not one that `LatentDataset` writes.
    """
    if not path.is_file():
        raise ValueError(
            f"A directory of latents has an {INDEX}. Received: {path.parent}"
        )
    try:
        index = parse_json(read_small(path))
        files, statistics = index["files"], index["latent_statistics"]
        for file in files:
            _check_file(file)
        mean, std = (np.array(statistics[name], "float32") for name in ("mean", "std"))
        if mean.ndim != 2 or len(mean) != 2 or mean.shape != std.shape:
            raise ValueError("`mean` and `std` must be of shape (2, C)")
        if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(std))):
            raise ValueError("`mean` and `std` must be finite")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"It is not an index of latents: {error!r}. Received: {path}"
        ) from error
    return files, mean, std


def _check_file(file):
    """Raises ValueError unless an entry of the index is one of a file below it."""
    place = pathlib.PurePath(file["latents"])
    if place.is_absolute() or ".." in place.parts:
        raise ValueError(
            "Latents must be in the directory of their index. "
            f"Received: latents={reprlib.repr(file['latents'])}"
        )
    names = ("num_chunks", "height", "width")
    check_whole(1, 2**31, **{name: file[name] for name in names})
