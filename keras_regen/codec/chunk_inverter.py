"""Finding the noise of chunks of any size in bounded memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_regen.batches import Batches
from keras_regen.codec.chunk_decoder import DecodingPlan
from keras_regen.latents import ChunkLayout, Latents
from keras_regen.models import Regen
from keras_regen.pixels import SPATIAL_COMPRESSION as PATCH


class ChunkInverter:
    """Finds the noise of every tile of a chunk, as `ChunkDecoder` decodes it.

    Args:
        model: a `Regen`.
        plan: a `DecodingPlan` for the frames of `windows`.
        layout: a `ChunkLayout`.
        num_steps: as for `Regen.invert`.
        refinements: as for `Regen.invert`.
        schedule: as for `Regen.invert`.
    """

    def __init__(
        self,
        model: Regen,
        plan: DecodingPlan,
        layout: ChunkLayout,
        num_steps: int,
        refinements: int,
        schedule: str,
    ) -> None:
        self._tiling = plan.tiling
        self._times = layout.decoded_times
        options = num_steps, refinements, schedule

        def invert(latents, video):
            times = np.tile(self._times, (len(latents), 1))
            return model.invert_chunks(latents, times, video, *options)

        size = min(plan.batch_size, len(plan.tiling))
        self._run = Batches(invert, size, fixed=True)

    def __call__(self, latents: np.ndarray, window: np.ndarray) -> np.ndarray:
        """Finds the noise of a chunk.

        Args:
            latents: float32 array of shape `(2, height / 8, width / 8, C)`.
            window: array of shape `(F, height, width, 3)`, uint8 or float: the frames
                at the layout's `decoded_times`.

        Returns:
            float32 array of shape `(tiles, F, rows, columns, 3)`.
        """
        tiles, videos = [], []
        rows, columns = self._tiling.tile_rows, self._tiling.tile_columns
        for row, column in self._tiling.corners:
            tiles.append(latents[:, row : row + rows, column : column + columns])
            down = slice(PATCH * row, PATCH * (row + rows))
            videos.append(window[:, down, PATCH * column : PATCH * (column + columns)])
        return self._run(np.stack(tiles), np.stack(videos))


def windows(
    items: Iterator[tuple[Any, np.ndarray]], layout: ChunkLayout
) -> Iterator[tuple[Any, np.ndarray]]:
    """Adds to consecutive chunks the frames that each is decoded at beyond its own.

    Before the video its first frame is repeated, and after it the last.

    Args:
        items: iterator of pairs of anything and a chunk, an array of shape
            `(k + 1, H, W, 3)`, valid until the next is taken.
        layout: a `ChunkLayout`.

    Yields:
        The same pairs, with arrays of shape `(decoded_frames, H, W, 3)`.
    """
    count = layout.blend_frames
    # Neighbours have one frame in common, or none.
    first = int(layout.chunking == "shared")
    copies = ((info, chunk.copy()) for info, chunk in items)
    previous, item = None, next(copies, None)
    while item is not None:
        info, chunk = item
        following = next(copies, None)
        before = np.repeat(chunk[:1], count, axis=0)
        after = np.repeat(chunk[-1:], count, axis=0)
        if previous is not None:
            stop = len(previous) - first
            before = previous[stop - count : stop]
        if following is not None:
            after = following[1][first : first + count]
        yield info, np.concatenate([before, chunk, after])
        previous, item = chunk, following


def chunk_of(latents: Latents, piece: Latents) -> np.ndarray:
    """Returns the values of the piece's chunk, taken from `latents`."""
    number = piece.first_chunk - latents.first_chunk
    if not 0 <= number < latents.num_chunks or (
        latents.array.shape[1:] != piece.array.shape[1:]
    ):
        raise ValueError(
            f"The latents must be of this video, of {piece.height}x{piece.width} "
            f"pixels, with a chunk {piece.first_chunk}. Received: {latents}"
        )
    return latents.chunks(number, number + 1)
