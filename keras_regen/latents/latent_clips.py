"""Batches of stored latents, to train a latent model on."""

import json
import pathlib

import h5py
import keras
import numpy as np

from keras_regen.latents.latent_dataset import INDEX
from keras_regen.pixels import latent_size


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
        ValueError: if there is no index, or no video is long and large enough.
    """

    def __init__(
        self,
        directory,
        batch_size,
        size,
        num_chunks=1,
        steps_per_epoch=None,
        normalize=True,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.directory = pathlib.Path(directory)
        self.batch_size = batch_size
        self.size = tuple(size)
        self.num_chunks = num_chunks
        self.normalize = normalize
        self.seed = seed
        self.epoch = 0
        try:
            index = json.loads((self.directory / INDEX).read_text())
        except OSError as error:
            raise ValueError(
                f"A directory of latents has an {INDEX}. Received: {directory}"
            ) from error
        statistics = index["latent_statistics"]
        # Content and motion take turns along the axis of frames.
        self._mean, self._std = (
            np.tile(np.array(statistics[name], "float32"), (num_chunks, 1))[
                :, None, None
            ]
            for name in ("mean", "std")
        )
        rows, columns = self.size

        def is_large_enough(file):
            height, width = latent_size(file["height"], file["width"])
            return (
                file["num_chunks"] >= num_chunks and height >= rows and width >= columns
            )

        self._files = [file for file in index["files"] if is_large_enough(file)]
        if not self._files:
            raise ValueError(
                f"No video has {num_chunks} chunks of {rows}x{columns} latents. "
                f"Received: num_chunks={num_chunks}, size={size}, {directory}"
            )
        windows = [file["num_chunks"] - num_chunks + 1 for file in self._files]
        self._ends = np.cumsum(windows)
        self.steps_per_epoch = steps_per_epoch or max(1, self._ends[-1] // batch_size)

    def __len__(self):
        return int(self.steps_per_epoch)

    def on_epoch_end(self):
        self.epoch += 1

    def __getitem__(self, index):
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
        with h5py.File(self.directory / self._files[which]["latents"]) as file:
            stored = file["latents"]
            _, height, width, _ = stored.shape
            rows, columns = self.size
            top, left = (
                rng.integers(height - rows + 1),
                rng.integers(width - columns + 1),
            )
            window = stored[
                2 * first : 2 * (first + self.num_chunks),
                top : top + rows,
                left : left + columns,
            ]
        return window.astype("float32")
