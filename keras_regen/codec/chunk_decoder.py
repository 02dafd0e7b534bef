"""Decoding chunks of any size in bounded memory."""

import itertools

import numpy as np

from keras_regen.codec.batches import CHUNKS_AT_ONCE, TOKENS_AT_ONCE, Batches
from keras_regen.codec.memory import DEFAULT_MEMORY, decoder_bytes, frame_bytes
from keras_regen.codec.tiling import Tiling
from keras_regen.diffusion import noise_canvas
from keras_regen.models.validation import check_finite
from keras_regen.models.video_encoder import SPATIAL_COMPRESSION as PATCH

# In latents. From 12, which the bundled preset was trained on, to 32 no size decodes
# better than another, while the cost of attention grows with it.
TILE_SIZES = (16, 12, 8, 4)
TILE_OVERLAP = 2


class ChunkDecoder:
    """Decodes chunks of one size and number of frames, in tiles, batch by batch.

    Many frames of one chunk, for slow motion, are decoded in passes: the first decodes
    every n-th frame, the second those after them. So each pass sees frames as far apart
    as in training, and the cost grows linearly.

    Args:
        regen: a `Regen`.
        height: int. Rows of a frame, of any number.
        width: int. Columns of a frame.
        num_frames: int. Frames to decode of every chunk; a multiple of `passes`.
        passes: int.
        num_steps: int. Sampling steps.
        seed: int. Seed of the noise canvas.
        noise_scale: float. Standard deviation of the noise.
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

    Raises:
        ValueError: if the least tile does not fit; when called, if a latent or what is
            made of it is not finite.
    """

    def __init__(
        self,
        regen,
        height,
        width,
        num_frames,
        passes,
        num_steps,
        seed,
        noise_scale,
        max_memory,
        tile_size=None,
        batch_size=None,
    ):
        self.num_frames = num_frames
        self._passes = passes
        self._seed, self._noise_scale = seed, np.float32(noise_scale)
        rows, columns = -(-height // PATCH), -(-width // PATCH)
        # One chunk's frames, and those that fade into the next's.
        frames = frame_bytes(num_frames, height, width)
        if max_memory is None:
            max_memory = DEFAULT_MEMORY + frames
        for size in TILE_SIZES if tile_size is None else (tile_size,):
            self.tiling = Tiling(rows, columns, size, TILE_OVERLAP)
            tile = decoder_bytes(
                regen.decoder,
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
        if batch_size is None:
            # A chunk more has its frames kept too.
            fit = 1 + (max_memory - frames - tile) // (tile + frames // items)
            tokens = self.tiling.tile_rows * self.tiling.tile_columns
            fill = max(1, TOKENS_AT_ONCE // (tokens * num_frames // passes))
            batch_size = min(fit, fill, CHUNKS_AT_ONCE * items)
        self.batch_size = batch_size
        self.chunks_at_once = max(1, batch_size // items)
        # One array for all, so memory neither grows nor falls to pieces.
        self._video = np.empty(
            (self.chunks_at_once, num_frames, height, width, 3), "float32"
        )
        self._weights = self.tiling.weights(PATCH)
        self._run = Batches(
            lambda *inputs: regen.generate(*inputs, num_steps), batch_size
        )

    def __call__(self, latents, times, starts):
        """Decodes chunks, each at times of its own.

        Args:
            latents: array of shape `(n, 2, rows, columns, C)`, n up to
                `chunks_at_once`.
            times: float64 array of shape `(n, num_frames)`, in frames from each chunk's
                first.
            starts: int array of shape `(n,)`. The video's frame that a chunk begins at.

        Returns:
            float32 array of shape `(n, num_frames, height, width, 3)`, in [-1, 1],
            valid until the next call.
        """
        check_finite(
            latents, "The latents must be finite; half precision can overflow."
        )
        video = self._video[: len(latents)]
        video[:] = 0
        items = [
            *itertools.product(
                range(len(latents)), range(self._passes), range(len(self.tiling))
            )
        ]
        # Noise for one batch at a time.
        for first in range(0, len(items), self.batch_size):
            batch = items[first : first + self.batch_size]
            inputs = [
                self._inputs(
                    latents[chunk], times[chunk, i :: self._passes], starts[chunk], tile
                )
                for chunk, i, tile in batch
            ]
            outputs = self._run(*map(np.stack, zip(*inputs, strict=True)))
            check_finite(
                outputs, "The frames must be finite; half precision can overflow."
            )
            for (chunk, i, tile), output in zip(batch, outputs, strict=True):
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
        noise = noise_canvas(
            self._seed,
            times + start,
            (down.start, down.stop),
            (across.start, across.stop),
        )
        return crop, times, noise * self._noise_scale

    def _area(self, tile):
        """The pixels of a tile, as slices."""
        row, column = self.tiling.corners[tile]
        return (
            slice(PATCH * row, PATCH * (row + self.tiling.tile_rows)),
            slice(PATCH * column, PATCH * (column + self.tiling.tile_columns)),
        )
