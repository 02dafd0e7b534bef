"""Batches of stored latents, to train a latent model on."""

import pathlib
from typing import Any, Literal

import keras
import numpy as np

from keras_regen.checks import check_flags, check_whole, suggest_arguments
from keras_regen.latents.chunk_layout import ChunkLayout
from keras_regen.latents.dataset_index import INDEX, TEXT, read_index
from keras_regen.latents.latents_file import (
    DAMAGE,
    open_latents,
    stored_values,
    unreadable,
)
from keras_regen.pixels import latent_size
from keras_regen.text import TextEmbeddings
from keras_regen.types import StrPath


class LatentClips(keras.utils.PyDataset):
    """Random windows of latents from a directory that `LatentDataset` wrote.

    Every window of `num_chunks` chunks of every video is equally likely, and is cropped
    at random. The last chunk of a video is left out if it is padded, unless it is the
    only one. Batch `i` of epoch `e` depends only on (seed, e, i).

    Args:
        directory: path of the directory, with its `index.json`.
        batch_size: int. Windows in a batch.
        size: int, pair of int `(rows, columns)`, or None. Size of the crop in latents,
            an eighth of its size in pixels; an int is a square. Defaults to `None`: the
            largest that every video of enough chunks has.
        num_chunks: int. Consecutive chunks in a window. Defaults to `1`.
        steps_per_epoch: int or None. Batches in an epoch. Defaults to the number of
            windows divided by `batch_size`.
        normalize: bool. Whether to subtract each channel's mean and divide by its
            standard deviation, as listed in the index. `LatentDiffusion` does so itself
            and needs `False`. Defaults to `True`.
        seed: int. Defaults to `0`.
        condition: `"text"`, `"label"`, or None for latents alone. Defaults to `"auto"`:
            what the directory has, texts first, and None if it has neither. Texts that
            are not embedded are an error.
        workers: int. As for `PyDataset`, and so are the others. Defaults to `1`.
        use_multiprocessing: bool. Defaults to `False`.
        max_queue_size: int. Batches to read ahead. Defaults to `10`.

    Attributes:
        epoch: int. The epoch that is read. `fit` counts it up; set it when you resume a
            training or write your own loop.
        size: pair of int. The size of the crop.
        fps: float. Frames per second of the first video.
        condition: `"text"`, `"label"` or None.
        text: the `TextEmbeddings` of the directory, or None without texts.
        labels: list of str. The names of labels.
        mean: float32 array of shape `(2, C)`: the mean of every channel, of the content
            and of the motion latents.
        std: float32 array of shape `(2, C)`.
        codec: dict of `temporal_compression`, `chunking`, `encoder_id` and `preset`.

    Returns:
        Batches `(latents,)`: float32 of shape `(B, 2 * num_chunks, rows, columns, C)`,
        content and motion in turns. With a condition, batches of a dict, as
        `LatentDiffusion` is trained on:
        `latents`;
        `times`, float32 of shape `(B, 2 * num_chunks)`: where latent frames are, in
        frames from the first one of the window;
        `text` and `text_mask`, of shapes `(B, L, E)` and `(B, L)`, with the L of the
        longest of all texts: one of the texts of a video, at random;
        or `label`, int32 of shape `(B,)`; the number of labels stands for none.

    Raises:
        ValueError: if an argument is not as above, there is no index, it is not one
            that `LatentDataset` writes, no video is long and large enough, or texts are
            not embedded; in a batch, if a file does not hold the latents in the index.
    """

    @suggest_arguments
    def __init__(
        self,
        directory: StrPath,
        batch_size: int,
        size: int | tuple[int, int] | None = None,
        num_chunks: int = 1,
        steps_per_epoch: int | None = None,
        normalize: bool = True,
        seed: int = 0,
        condition: Literal["auto", "text", "label"] | None = "auto",
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ) -> None:
        super().__init__(workers, use_multiprocessing, max_queue_size)
        check_whole(1, 2**20, batch_size=batch_size, num_chunks=num_chunks)
        check_whole(0, 2**64 - 1, seed=seed)
        check_flags(normalize=normalize)
        if steps_per_epoch is not None:
            check_whole(1, 2**31, steps_per_epoch=steps_per_epoch)
        self.directory = pathlib.Path(directory)
        self.batch_size = batch_size
        self.num_chunks = num_chunks
        self.normalize = normalize
        self.seed = seed
        self.epoch = 0
        index = read_index(self.directory)
        self.codec, self.labels = index.codec, index.labels
        # A channel with one value has no scale.
        self.mean, self.std = index.mean, np.where(index.std > 0, index.std, 1)
        # Content and motion take turns along the axis of frames.
        self._mean, self._std = (
            np.tile(values, (num_chunks, 1))[:, None, None]
            for values in (self.mean, self.std)
        )
        k, chunking = (self.codec[x] for x in ("temporal_compression", "chunking"))
        self._layout = ChunkLayout(k, chunking)
        longest = max(map(self._full_chunks, index.files), default=0)
        if longest < num_chunks:
            raise ValueError(
                f"No video has {num_chunks} chunks: the longest has {longest}. "
                f"Received: num_chunks={num_chunks}, in {directory}"
            )
        long = [file for file in index.files if self._full_chunks(file) >= num_chunks]
        sizes = [latent_size(file["height"], file["width"]) for file in long]
        if size is None:
            size = tuple(np.min(sizes, axis=0).tolist())
        self.size = rows, columns = _checked_size(size)
        self._files = [
            file
            for file, (height, width) in zip(long, sizes, strict=True)
            if height >= rows and width >= columns
        ]
        if not self._files:
            raise ValueError(
                f"No video has {num_chunks} chunks of {rows}x{columns} latents. "
                f"Received: num_chunks={num_chunks}, size={size}, in {directory}"
            )
        self.fps = float(self._files[0]["fps"])
        windows = [self._full_chunks(file) - num_chunks + 1 for file in self._files]
        self._ends = np.cumsum(windows)
        self.steps_per_epoch = steps_per_epoch or max(1, self._ends[-1] // batch_size)
        self.text: TextEmbeddings | None = None
        self.condition = self._find_condition(condition)

    def _full_chunks(self, file):
        return self._layout.count_full(file["num_chunks"], file["num_frames"])

    def _find_condition(self, condition):
        """Checks the condition, and loads texts; returns the one that is meant."""
        is_embedded = (self.directory / TEXT).is_file()
        known = {text for file in self._files for text in file.get("texts", [])}
        if condition == "auto":
            has_text = is_embedded or known
            condition = "text" if has_text else "label" if self.labels else None
        if condition == "text":
            if not is_embedded:
                others = "label or none" if self.labels else "none"
                raise ValueError(
                    f"The texts are not embedded: there is no {TEXT}, which `encode "
                    "--dataset` writes with --text-encoder. Write it, or choose "
                    f"{others} as the condition. Received: {self.directory}"
                )
            self.text = TextEmbeddings.load(self.directory / TEXT)
            if unknown := sorted(text for text in known if text not in self.text):
                raise ValueError(
                    f"A text in {INDEX} is not in {TEXT}: write both again. "
                    f"Received: {unknown[0]!r}"
                )
        elif condition == "label":
            if not self.labels:
                raise ValueError(f"{INDEX} has no labels. Received: {self.directory}")
        elif condition is not None:
            raise ValueError(
                '`condition` must be "auto", "text", "label" or None. '
                f"Received: condition={condition!r}"
            )
        return condition

    def __len__(self) -> int:
        return int(self.steps_per_epoch)

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: index={index}")
        rng = np.random.default_rng((self.seed, self.epoch, index))
        windows = [self._window(rng) for _ in range(self.batch_size)]
        batch = np.stack([window for window, _ in windows])
        batch = (batch - self._mean) / self._std if self.normalize else batch
        if self.condition is None:
            return (batch,)
        files = [file for _, file in windows]
        if self.text is None:
            conditions = self._labels(files)
        else:
            conditions = self._texts(rng, files, self.text)
        return ({"latents": batch, "times": self._times(), **conditions},)

    def _times(self):
        """Returns the first frame of contents, and the middle of what motion is of."""
        k = self._layout.temporal_compression
        starts = self._layout.stride * np.arange(self.num_chunks)
        times = np.stack([starts, starts + (k + 1) / 2], axis=1).reshape(-1)
        return np.tile(times.astype("float32"), (self.batch_size, 1))

    def _labels(self, files):
        labels = [file.get("label", len(self.labels)) for file in files]
        return {"label": np.array(labels, "int32")}

    def _texts(self, rng, files, known):
        # Any text, of which no token counts, for a video that has none.
        texts = [file.get("texts") or known.texts[:1] for file in files]
        chosen = [options[rng.integers(len(options))] for options in texts]
        text, mask = known.encode(chosen, known.max_length)
        mask &= np.array([bool(file.get("texts")) for file in files])[:, None]
        return {"text": text, "text_mask": mask}

    def _window(self, rng):
        """Reads a random window, a float32 array; returns it and the file's entry."""
        number = rng.integers(self._ends[-1])
        which = int(np.searchsorted(self._ends, number, side="right"))
        first = number - (self._ends[which - 1] if which else 0)
        path = self.directory / self._files[which]["latents"]
        with open_latents(path) as file:
            try:
                window = self._crop(rng, stored_values(file), first)
                return window, self._files[which]
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


def _checked_size(size):
    """Returns rows and columns as a pair, or raises ValueError."""
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2:
        raise ValueError(
            "`size` must be an int or a pair (rows, columns), in latents. "
            f"Received: size={size!r}"
        )
    check_whole(1, 2**20, rows=pair[0], columns=pair[1])
    return pair
