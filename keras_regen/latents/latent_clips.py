"""Batches of stored latents, to train a latent model on."""

import json
import pathlib

import h5py
import keras
import numpy as np

from keras_regen.latents.latent_dataset import INDEX


class LatentClips(keras.utils.PyDataset):
    """Random windows of latents from a directory that `LatentDataset` wrote.

    Every window of `num_chunks` chunks of every video has the same chance, and is
    cropped at random. Batch `i` of epoch `e` depends on (seed, e, i) alone.

    Args:
        directory: path of the directory, with its `index.json`.
        batch_size: int.
        size: pair of int (rows, columns). Of the crop, in latents: an eighth of pixels.
        num_chunks: int. Consecutive chunks in a window. Defaults to `1`.
        steps_per_epoch: int or None. Defaults to as many as have all windows once.
        normalize: bool. Whether to subtract the mean of each channel and divide by its
            standard deviation, as the index has them. Defaults to `True`.
        seed: int. Defaults to `0`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of `PyDataset`.

    Attributes:
        epoch: int. The epoch that is read; `fit` counts it up.

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
        # Content and motion take turns along the frames.
        self._mean, self._std = (
            np.tile(np.array(statistics[name], "float32"), (num_chunks, 1))[
                :, None, None
            ]
            for name in ("mean", "std")
        )
        rows, columns = self.size
        self._files = [
            file
            for file in index["files"]
            if file["num_chunks"] >= num_chunks
            and file["height"] > 8 * (rows - 1)
            and file["width"] > 8 * (columns - 1)
        ]
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
