"""Encoding chunks of any size in bounded memory."""

import numpy as np

from keras_regen.batches import CHUNKS_AT_ONCE, TOKENS_AT_ONCE, Batches
from keras_regen.codec.memory import DEFAULT_MEMORY
from keras_regen.models import check_finite, encoder_bytes
from keras_regen.pixels import SPATIAL_COMPRESSION as PATCH
from keras_regen.pixels import to_unit_range


class ChunkEncoder:
    """Encodes chunks of one size, in windows where the whole takes too much memory.

    A window is encoded with all that its latents depend on, so the latents are those of
    the whole frame, however it is split.

    Args:
        encoder: a `VideoEncoder`.
        height: int. Rows of a frame, a multiple of 8.
        width: int. Columns of a frame, a multiple of 8.
        max_memory: int or None. Bytes. Defaults to 2 GB.

    Attributes:
        chunk_shape: tuple of int, `(k + 1, height, width, 3)`.
        window: tuple of int, `(rows, columns)`. Latents encoded at once, with context.
        chunks_at_once: int. Chunks that it is best to give at once.
        memory: int. Bytes that those take.

    Raises:
        ValueError: if the least window does not fit; when called, if a latent is not
            finite.
    """

    def __init__(self, encoder, height, width, max_memory):
        self._encoder = encoder
        max_memory = DEFAULT_MEMORY if max_memory is None else max_memory
        self.chunk_shape = (encoder.temporal_compression + 1, height, width, 3)
        self._rows, self._columns = height // PATCH, width // PATCH
        rows, columns = self._rows, self._columns
        least = 2 * encoder.context + 1
        while (need := encoder_bytes(encoder, rows, columns)) > max_memory:
            if max(rows, columns) <= least:
                raise ValueError(
                    f"Encoding a chunk of {height}x{width} pixels needs "
                    f"{need / 1e9:.2g} GB. "
                    f"Received: max_memory={max_memory / 1e9:.2g} GB"
                )
            # What is longer is halved, but for the context.
            if rows >= columns:
                rows = max(least, rows // 2 + encoder.context)
            else:
                columns = max(least, columns // 2 + encoder.context)
        self.window = rows, columns
        tokens = (encoder.temporal_compression + 1) * rows * columns
        self.chunks_at_once = min(
            CHUNKS_AT_ONCE, max_memory // need, max(1, TOKENS_AT_ONCE // tokens)
        )
        self.memory = self.chunks_at_once * need
        self._run = Batches(self._encode, self.chunks_at_once)

    def __call__(self, chunks):
        """Encodes chunks.

        Args:
            chunks: array of shape `(n, k + 1, height, width, 3)`, uint8 or float32 in
                [-1, 1].

        Returns:
            float32 array of shape `(n, 2, height / 8, width / 8, C)`.
        """
        rows, columns = self.window
        context, channels = self._encoder.context, self._encoder.latent_channels
        latents = np.empty((len(chunks), 2, self._rows, self._columns, channels), "f4")
        for top, bottom, above in _windows(self._rows, rows, context):
            for left, right, before in _windows(self._columns, columns, context):
                down = slice(PATCH * above, PATCH * (above + rows))
                across = slice(PATCH * before, PATCH * (before + columns))
                window = self._run(chunks[:, :, down, across])
                latents[:, :, top:bottom, left:right] = window[
                    :, :, top - above : bottom - above, left - before : right - before
                ]
        return latents

    def _encode(self, chunks):
        latents = self._encoder.predict_on_batch(to_unit_range(chunks))
        check_finite(
            latents, "The latents must be finite; half precision can overflow."
        )
        return latents


def _windows(length, size, context):
    """Intervals that cover `length`, and where a window with their context begins.

    Beyond the first and the last there is nothing, so they need context on one side.
    """
    start = 0
    while start < length:
        first = min(max(0, start - context), length - size)
        stop = length if first + size >= length else first + size - context
        yield start, stop, first
        start = stop
