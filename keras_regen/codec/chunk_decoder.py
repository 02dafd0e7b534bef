"""Decoding chunks of any size in bounded memory."""

import collections
import contextlib
import dataclasses
import itertools

import numpy as np

from keras_regen.batches import CHUNKS_AT_ONCE, TOKENS_AT_ONCE, Batches
from keras_regen.codec.memory import DEFAULT_MEMORY, frame_bytes
from keras_regen.codec.pipeline import map_in_thread
from keras_regen.codec.tiling import Tiling
from keras_regen.models import check_finite, decoder_bytes
from keras_regen.pixels import SPATIAL_COMPRESSION as PATCH
from keras_regen.pixels import latent_size

# Sides of tiles to try, in latents. From 12, which the bundled preset was trained on,
# to 32 no size decodes better than another, while the cost of attention grows with it.
_TILE_SIZES = (16, 12, 8, 4)

# Chunks that are decoded together: float array `(n, 2, rows, columns, C)`, n up to
# `chunks_at_once`; float64 array `(n, num_frames)`, in frames from each chunk's first;
# int array `(n,)`, the number of each chunk's first frame in the video; and anything
# that the caller wants back when the group is decoded.
Group = collections.namedtuple("Group", "latents times starts info")
# Some tiles of a group: `items` are tuples (chunk, pass, tile), `inputs` the arrays
# that the model is given.
_Batch = collections.namedtuple("_Batch", "group items is_first is_last inputs")


@dataclasses.dataclass(frozen=True)
class DecodingPlan:
    """How chunks of one size are decoded within a memory budget; see `fit`.

    When many frames of a chunk are wanted, for slow motion, it is decoded in passes:
    with n passes, each decodes every n-th frame. So a pass sees frames as far apart as
    in training, and the cost grows linearly.

    Args:
        height: int. Rows of a frame, any number.
        width: int. Columns of a frame.
        num_frames: int. Frames to decode of every chunk, a multiple of `passes`.
        passes: int.
        tiling: a `Tiling`.
        batch_size: int. Tiles to decode together.
        chunks_at_once: int. Chunks to decode together.
        memory_left: int. Bytes of the budget that decoding does not take.
    """

    height: int
    width: int
    num_frames: int
    passes: int
    tiling: Tiling
    batch_size: int
    chunks_at_once: int
    memory_left: int

    @classmethod
    def fit(
        cls,
        decoder,
        layout,
        height,
        width,
        max_frames,
        dtype="uint8",
        max_memory=None,
        tile_size=None,
        batch_size=None,
    ):
        """Plans the largest tiles, and then the largest batch, that fit.

        Args:
            decoder: a `DiTDecoder` or a `ConvDecoder`.
            layout: a `ChunkLayout`.
            height: int. Rows of a frame, any number.
            width: int. Columns of a frame.
            max_frames: int. The most frames to decode of any chunk.
            dtype: str. The dtype of the decoded video. Defaults to `"uint8"`.
            max_memory: int or None. Bytes. Defaults to 2 GB and what the frames take.
            tile_size: int or None. The most rows and columns of a tile, in latents.
                Defaults to the largest size that is useful and fits.
            batch_size: int or None. Tiles to decode together. Defaults to as many as
                are useful and fit.

        Raises:
            ValueError: if the smallest tile does not fit.
        """
        passes = max(1, round(max_frames / layout.decoded_frames))
        frames_per_pass = -(-max_frames // passes)
        num_frames = frames_per_pass * passes
        # The frames of one chunk, and the frames that fade into the next chunk's.
        frames = frame_bytes(num_frames, height, width, dtype)
        if max_memory is None:
            max_memory = DEFAULT_MEMORY + frames
        for size in _TILE_SIZES if tile_size is None else (tile_size,):
            tiling = Tiling(*latent_size(height, width), size)
            tile = decoder_bytes(
                decoder, frames_per_pass, tiling.tile_rows, tiling.tile_columns
            )
            if frames + tile <= max_memory:
                break
        else:
            raise ValueError(
                f"Decoding {num_frames} frames of {height}x{width} pixels together "
                f"needs {(frames + tile) / 1e9:.2g} GB. "
                f"Received: max_memory={max_memory / 1e9:.2g} GB"
            )
        items = len(tiling) * passes
        # A batch of more than one chunk keeps the frames of each chunk.
        memory_left = max_memory - frames - tile
        another = tile + frames // items
        if batch_size is None:
            tokens = frames_per_pass * tiling.tile_rows * tiling.tile_columns
            batch_size = min(
                1 + memory_left // another,
                max(1, TOKENS_AT_ONCE // tokens),
                CHUNKS_AT_ONCE * items,
            )
        return cls(
            height,
            width,
            num_frames,
            passes,
            tiling,
            batch_size,
            chunks_at_once=max(1, batch_size // items),
            memory_left=memory_left - (batch_size - 1) * another,
        )


class ChunkDecoder:
    """Decodes chunks as planned, in tiles, batch by batch.

    The model runs in the caller's thread. A second thread prepares its next batch, and
    a third adds the last batch to the frames.

    Args:
        model: a `Regen` or a `ConvAutoencoder`.
        plan: a `DecodingPlan`.
        sampling: a `Sampling`.

    Attributes:
        plan: the `DecodingPlan`.

    Raises:
        ValueError: when called, if a latent or a decoded value is not finite.
    """

    def __init__(self, model, plan, sampling):
        self.plan = plan
        self._sampling = sampling
        # One array for all groups, so that memory neither grows nor fragments.
        self._video = np.empty(
            (plan.chunks_at_once, plan.num_frames, plan.height, plan.width, 3),
            "float32",
        )
        self._weights = plan.tiling.weights(PATCH)
        self._run = Batches(
            lambda *inputs: model.generate(*inputs, sampling.num_steps),
            plan.batch_size,
        )

    def __call__(self, groups, finish, lag):
        """Decodes groups of chunks.

        Args:
            groups: iterator of `Group`.
            finish: callable `(info, video)`, with a float32 array of shape
                `(n, num_frames, height, width, 3)`, in [-1, 1], valid during the call.
            lag: int. Batches that may wait before the model, and after it, while it
                runs. With 0 a group is finished before the next is taken.

        Yields:
            The result of `finish`, for every group.
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
                    range(self.plan.passes),
                    range(len(self.plan.tiling)),
                )
            ]
            for first in range(0, len(items), self.plan.batch_size):
                stop = first + self.plan.batch_size
                yield _Batch(
                    group, items[first:stop], first == 0, stop >= len(items), None
                )

    def _prepare(self, batch):
        """Returns the batch with the inputs of the model."""
        group = batch.group
        inputs = [
            self._inputs(
                group.latents[chunk],
                group.times[chunk, i :: self.plan.passes],
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
        """Adds a batch to the frames of its group and returns the frames."""
        video = self._video[: len(batch.group.latents)]
        if batch.is_first:
            video[:] = 0
        for (chunk, i, tile), output in zip(batch.items, outputs, strict=True):
            area = video[chunk, i :: self.plan.passes][:, *self._area(tile)]
            height, width = area.shape[1:3]
            down, across = self._weights[tile]
            weight = down[:height] * across[:, :width]
            area += output[:, :height, :width] * weight[..., None]
        return video

    def _inputs(self, latents, times, start, tile):
        """Returns the latents, times and noise of one tile of one chunk."""
        tiling = self.plan.tiling
        row, column = tiling.corners[tile]
        crop = latents[
            :,
            row : row + tiling.tile_rows,
            column : column + tiling.tile_columns,
        ]
        down, across = self._area(tile)
        noise = self._sampling.noise(
            times + start, (down.start, down.stop), (across.start, across.stop)
        )
        return crop, times, noise

    def _area(self, tile):
        """Returns the pixels of a tile, as a slice of rows and one of columns."""
        tiling = self.plan.tiling
        row, column = tiling.corners[tile]
        return (
            slice(PATCH * row, PATCH * (row + tiling.tile_rows)),
            slice(PATCH * column, PATCH * (column + tiling.tile_columns)),
        )
