"""Decoding chunks of any size in bounded memory."""

import collections
import contextlib
import itertools

import numpy as np

from keras_regen.batches import CHUNKS_AT_ONCE, TOKENS_AT_ONCE, Batches
from keras_regen.codec.memory import DEFAULT_MEMORY, frame_bytes
from keras_regen.codec.pipeline import map_in_thread
from keras_regen.codec.tiling import Tiling
from keras_regen.models import check_finite, decoder_bytes
from keras_regen.pixels import SPATIAL_COMPRESSION as PATCH

# In latents. From 12, which the bundled preset was trained on, to 32 no size decodes
# better than another, while the cost of attention grows with it.
TILE_SIZES = (16, 12, 8, 4)
TILE_OVERLAP = 2

# Chunks that are decoded together: float array `(n, 2, rows, columns, C)`, n up to
# `chunks_at_once`; float64 array `(n, num_frames)`, in frames from each chunk's first;
# int array `(n,)`, the video's frames that they begin at; and whatever else the caller
# wants to know of them.
Group = collections.namedtuple("Group", "latents times starts info")
# Some of a group's tiles, `items` being (chunk, pass, tile), and the model's inputs.
_Batch = collections.namedtuple("_Batch", "group items is_first is_last inputs")


class ChunkDecoder:
    """Decodes chunks of one size and number of frames, in tiles, batch by batch.

    The model runs in the caller's thread. In two more its next batch is prepared, and
    the one before mixed.

    Many frames of one chunk, for slow motion, are decoded in passes: the first decodes
    every n-th frame, the second those after them. So each pass sees frames as far apart
    as in training, and the cost grows linearly.

    Args:
        model: a `Regen` or a `ConvAutoencoder`.
        height: int. Rows of a frame, of any number.
        width: int. Columns of a frame.
        num_frames: int. Frames to decode of every chunk; a multiple of `passes`.
        passes: int.
        sampling: a `Sampling`.
        dtype: str. What the frames become, for the account of memory.
        max_memory: int or None. Bytes. Defaults to 2 GB, and what the frames take.
        tile_size: int or None. The most rows and columns of a tile, in latents. By
            default as large as serves, or as fits.
        batch_size: int or None. Tiles to decode together. By default as many as serve,
            or as fit.

    Attributes:
        num_frames: int.
        tiling: the `Tiling`.
        batch_size: int. Tiles that are decoded together.
        chunks_at_once: int. Chunks that it is best to give at once.
        memory_left: int. Bytes of `max_memory` that it does not take.

    Raises:
        ValueError: if the least tile does not fit; when called, if a latent or what is
            made of it is not finite.
    """

    def __init__(
        self,
        model,
        height,
        width,
        num_frames,
        passes,
        sampling,
        dtype,
        max_memory,
        tile_size=None,
        batch_size=None,
    ):
        self.num_frames = num_frames
        self._passes = passes
        self._sampling = sampling
        rows, columns = -(-height // PATCH), -(-width // PATCH)
        # One chunk's frames, and those that fade into the next's.
        frames = frame_bytes(num_frames, height, width, dtype)
        if max_memory is None:
            max_memory = DEFAULT_MEMORY + frames
        for size in TILE_SIZES if tile_size is None else (tile_size,):
            self.tiling = Tiling(rows, columns, size, TILE_OVERLAP)
            tile = decoder_bytes(
                model.decoder,
                num_frames // passes,
                self.tiling.tile_rows,
                self.tiling.tile_columns,
            )
            if frames + tile <= max_memory:
                break
        else:
            raise ValueError(
                f"Decoding {num_frames} frames of {height}x{width} pixels together "
                f"needs {(frames + tile) / 1e9:.2g} GB. "
                f"Received: max_memory={max_memory / 1e9:.2g} GB"
            )
        items = len(self.tiling) * passes
        # A chunk more has its frames kept too.
        left, another = max_memory - frames - tile, tile + frames // items
        if batch_size is None:
            fit = 1 + left // another
            tokens = self.tiling.tile_rows * self.tiling.tile_columns
            fill = max(1, TOKENS_AT_ONCE // (tokens * num_frames // passes))
            batch_size = min(fit, fill, CHUNKS_AT_ONCE * items)
        self.batch_size = batch_size
        self.memory_left = left - (batch_size - 1) * another
        self.chunks_at_once = max(1, batch_size // items)
        # One array for all, so memory neither grows nor falls to pieces.
        self._video = np.empty(
            (self.chunks_at_once, num_frames, height, width, 3), "float32"
        )
        self._weights = self.tiling.weights(PATCH)
        self._run = Batches(
            lambda *inputs: model.generate(*inputs, sampling.num_steps), batch_size
        )

    def __call__(self, groups, finish, lag):
        """Decodes groups of chunks.

        Args:
            groups: iterator of `Group`.
            finish: callable `(info, video)`, with a float32 array of shape
                `(n, num_frames, height, width, 3)`, in [-1, 1], valid during the call.
            lag: int. Batches that may be on their way to the model, and from it, while
                it runs. With 0 a group is finished before the next is taken.

        Yields:
            What `finish` returns, for every group.
        """

        def mix(decoded):
            batch, outputs = decoded
            video = self._mix(batch, outputs)
            return [finish(batch.group.info, video)] if batch.is_last else []

        prepared = map_in_thread(self._prepare, self._batches(groups), lag)
        decoded = ((batch, self._generate(batch)) for batch in prepared)
        mixed = map_in_thread(mix, decoded, lag)
        with contextlib.closing(prepared), contextlib.closing(mixed):
            for finished in mixed:
                yield from finished

    def _batches(self, groups):
        for group in groups:
            check_finite(
                group.latents,
                "The latents must be finite; half precision can overflow.",
            )
            items = [
                *itertools.product(
                    range(len(group.latents)),
                    range(self._passes),
                    range(len(self.tiling)),
                )
            ]
            for first in range(0, len(items), self.batch_size):
                stop = first + self.batch_size
                yield _Batch(
                    group, items[first:stop], first == 0, stop >= len(items), None
                )

    def _prepare(self, batch):
        """The batch with what the model is given."""
        group = batch.group
        inputs = [
            self._inputs(
                group.latents[chunk],
                group.times[chunk, i :: self._passes],
                group.starts[chunk],
                tile,
            )
            for chunk, i, tile in batch.items
        ]
        return batch._replace(inputs=[*map(np.stack, zip(*inputs, strict=True))])

    def _generate(self, batch):
        outputs = self._run(*batch.inputs)
        check_finite(outputs, "The frames must be finite; half precision can overflow.")
        return outputs

    def _mix(self, batch, outputs):
        """Adds a batch to the frames of its group, and returns them."""
        video = self._video[: len(batch.group.latents)]
        if batch.is_first:
            video[:] = 0
        for (chunk, i, tile), output in zip(batch.items, outputs, strict=True):
            area = video[chunk, i :: self._passes][:, *self._area(tile)]
            height, width = area.shape[1:3]
            down, across = self._weights[tile]
            weight = down[:height] * across[:, :width]
            area += output[:, :height, :width] * weight[..., None]
        return video

    def _inputs(self, latents, times, start, tile):
        """What the decoder is given for one tile of one chunk."""
        row, column = self.tiling.corners[tile]
        crop = latents[
            :,
            row : row + self.tiling.tile_rows,
            column : column + self.tiling.tile_columns,
        ]
        down, across = self._area(tile)
        noise = self._sampling.noise(
            times + start, (down.start, down.stop), (across.start, across.stop)
        )
        return crop, times, noise

    def _area(self, tile):
        """The pixels of a tile, as slices."""
        row, column = self.tiling.corners[tile]
        return (
            slice(PATCH * row, PATCH * (row + self.tiling.tile_rows)),
            slice(PATCH * column, PATCH * (column + self.tiling.tile_columns)),
        )
