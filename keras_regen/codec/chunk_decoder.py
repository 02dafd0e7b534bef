"""Decoding chunks of any size in bounded memory."""

import collections
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterator
from typing import Any, Self

import numpy as np

from keras_regen.codec.memory import (
    TOKENS_AT_ONCE,
    default_memory,
    frame_bytes,
    max_chunks_at_once,
)
from keras_regen.codec.pipeline import map_in_thread
from keras_regen.codec.tiling import Tiling
from keras_regen.diffusion import Sampling
from keras_regen.latents import ChunkLayout, noise_at
from keras_regen.models import (
    ConvAutoencoder,
    ConvDecoder,
    DiTDecoder,
    Regen,
    check_latent_values,
    decoder_bytes,
)
from keras_regen.pixels import SPATIAL_COMPRESSION as PATCH
from keras_regen.pixels import latent_size

# Sides of tiles to try, in latents. From 12, which the bundled preset was trained on,
# to 32 no size decodes better than another, while the cost of attention grows with it.
_TILE_SIZES = (16, 12, 8, 4)

# Chunks that are decoded together: float array `(n, 2, rows, columns, C)`, n up to
# `chunks_at_once`; float64 array `(n, num_frames)`, in frames from each chunk's first;
# int array `(n,)`, the number of each chunk's first frame in the video; list of n int,
# each chunk's own place among `chunks_at_once`; list of each chunk's noise, an array
# `(tiles, F, rows, columns, 3)` at the layout's `decoded_times`, or None; and anything
# that the caller wants back when the group is decoded.
Group = collections.namedtuple("Group", "latents times starts places noise info")
# Some tiles of a group. `items` are a tuple (chunk, pass, tile) for every place in the
# batch, or None where the group has no chunk.
_Batch = collections.namedtuple("_Batch", "group items is_first is_last")


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
        batch_size: int. Tiles to decode together, in batches that are always full.
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
        decoder: DiTDecoder | ConvDecoder,
        layout: ChunkLayout,
        height: int,
        width: int,
        max_frames: int,
        dtype: str,
        max_memory: int | None,
        tile_size: int | None,
        batch_size: int | None,
    ) -> Self:
        """Plans the largest tiles, and then the largest batch, that fit.

        Args:
            decoder: a `DiTDecoder` or a `ConvDecoder`.
            layout: a `ChunkLayout`.
            height: int. Rows of a frame, any number.
            width: int. Columns of a frame.
            max_frames: int. The most frames to decode of any chunk.
            dtype: str. The dtype of the decoded video.
            max_memory: int or None. Bytes; None for 2 GB and what the frames take,
                which must be no more than half of the machine's memory.
            tile_size: int or None. The most rows and columns of a tile, in latents;
                None for the largest size that is useful and fits.
            batch_size: int or None. Tiles to decode together; None for as many as are
                useful and fit.

        Raises:
            ValueError: if the smallest tile does not fit.
        """
        passes = max(1, round(max_frames / layout.decoded_frames))
        frames_per_pass = -(-max_frames // passes)
        num_frames = frames_per_pass * passes
        # The frames of one chunk, and the frames that fade into the next chunk's.
        frames = frame_bytes(num_frames, height, width, dtype)
        if max_memory is None:
            max_memory = default_memory(frames)
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
                max_chunks_at_once() * items,
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

    All batches have the same shape, and each tile of a chunk always has the same place
    in its batch. So its pixels are the same, bit for bit, whatever else is decoded.
    The model runs in the caller's thread, and a second thread adds the last batch to
    the frames.

    Args:
        model: a `Regen` or a `ConvAutoencoder`.
        plan: a `DecodingPlan`.
        sampling: a `Sampling`.
        blend_frames: int. Frames before the chunk that its noise has, if any. Defaults
            to `0`.

    Attributes:
        plan: the `DecodingPlan`.

    Raises:
        ValueError: when called, if a latent or a decoded value is not finite.
    """

    def __init__(
        self,
        model: Regen | ConvAutoencoder,
        plan: DecodingPlan,
        sampling: Sampling,
        blend_frames: int = 0,
    ) -> None:
        self.plan = plan
        self._model = model
        self._sampling = sampling
        self._blend_frames = blend_frames
        # One array for all groups, so that memory neither grows nor fragments.
        self._video = np.empty(
            (plan.chunks_at_once, plan.num_frames, plan.height, plan.width, 3),
            "float32",
        )
        self._weights = plan.tiling.weights(PATCH)
        places = [
            *itertools.product(
                range(plan.chunks_at_once), range(plan.passes), range(len(plan.tiling))
            )
        ]
        size = min(plan.batch_size, len(places))
        self._places = [
            places[i : i + size] + [None] * (i + size - len(places))
            for i in range(0, len(places), size)
        ]

    def __call__(
        self,
        groups: Iterator[Group],
        finish: Callable[[Any, np.ndarray], Any],
        lag: int,
    ) -> Generator[Any, None, None]:
        """Decodes groups of chunks.

        Args:
            groups: iterator of `Group`.
            finish: callable `(info, video)`, with a float32 array of shape
                `(n, num_frames, height, width, 3)`, in [-1, 1], valid during the call.
            lag: int. Batches that may wait after the model, while it runs. With 0 a
                group is finished before the next is taken.

        Yields:
            The result of `finish`, for every group.
        """

        def mix(decoded):
            batch, outputs = decoded
            video = self._mix(batch, outputs)
            return [finish(batch.group.info, video)] if batch.is_last else []

        decoded = ((batch, self._generate(batch)) for batch in self._batches(groups))
        with contextlib.closing(map_in_thread(mix, decoded, lag)) as mixed:
            for finished in mixed:
                yield from finished

    def _batches(self, groups):
        for group in groups:
            check_latent_values(group.latents)
            chunks = {place: chunk for chunk, place in enumerate(group.places)}
            batches = [
                [
                    (chunks[place[0]], *place[1:])
                    if place is not None and place[0] in chunks
                    else None
                    for place in places
                ]
                for places in self._places
            ]
            batches = [items for items in batches if any(items)]
            for i, items in enumerate(batches):
                yield _Batch(group, items, i == 0, i == len(batches) - 1)

    def _generate(self, batch):
        """Returns the decoded pixels of every place in the batch."""
        group, tiling = batch.group, self.plan.tiling
        # Where there is no chunk, a tile is decoded that is not used.
        unused = next(filter(None, batch.items))
        items = [unused if item is None else item for item in batch.items]
        latents, times, corners, noise = [], [], [], []
        for chunk, i, tile in items:
            row, column = tiling.corners[tile]
            latents.append(
                group.latents[
                    chunk,
                    :,
                    row : row + tiling.tile_rows,
                    column : column + tiling.tile_columns,
                ]
            )
            times.append(group.times[chunk, i :: self.plan.passes])
            corners.append((PATCH * row, PATCH * column))
            if group.noise[chunk] is not None:
                stored = group.noise[chunk][tile]
                noise.append(noise_at(stored, self._blend_frames, times[-1]))
        times, starts = np.stack(times), group.starts[[item[0] for item in items]]
        area = self._sampling.area(times + starts[:, None], corners)
        start = np.stack(noise) if noise else area
        return self._model.decode_chunks(
            np.stack(latents),
            times,
            start,
            self._sampling.num_steps,
            schedule=self._sampling.schedule,
        )

    def _mix(self, batch, outputs):
        """Adds a batch to the frames of its group and returns the frames."""
        video = self._video[: len(batch.group.latents)]
        blended = len(self.plan.tiling) > 1
        if blended and batch.is_first:
            video[:] = 0
        for item, output in zip(batch.items, outputs, strict=True):
            if item is None:
                continue
            chunk, i, tile = item
            area = video[chunk, i :: self.plan.passes][:, *self._area(tile)]
            height, width = area.shape[1:3]
            output = output[:, :height, :width]
            if blended:
                down, across = self._weights[tile]
                weight = down[:height] * across[:, :width]
                area += output * weight[..., None]
            else:
                area[:] = output
        return video

    def _area(self, tile):
        """Returns the pixels of a tile, as a slice of rows and one of columns."""
        tiling = self.plan.tiling
        row, column = tiling.corners[tile]
        return (
            slice(PATCH * row, PATCH * (row + tiling.tile_rows)),
            slice(PATCH * column, PATCH * (column + tiling.tile_columns)),
        )
