"""Encoding chunks of any size in bounded memory."""

import dataclasses
from typing import Self

import numpy as np

from keras_regen.batches import Batches
from keras_regen.codec.memory import (
    DEFAULT_MEMORY,
    TOKENS_AT_ONCE,
    max_chunks_at_once,
)
from keras_regen.models import ConvAutoencoder, Regen, VideoEncoder, encoder_bytes
from keras_regen.pixels import SPATIAL_COMPRESSION as PATCH
from keras_regen.pixels import latent_size


@dataclasses.dataclass(frozen=True)
class EncodingPlan:
    """How chunks of one size are encoded within a memory budget; see `fit`.

    Args:
        chunk_shape: tuple of int, `(k + 1, height, width, 3)`, with height and width
            rounded up to multiples of 8.
        window: tuple of int, `(rows, columns)`. Latents to encode at once, their
            context included.
        chunks_at_once: int. Chunks to encode together.
        memory: int. Bytes that encoding them takes.
    """

    chunk_shape: tuple[int, int, int, int]
    window: tuple[int, int]
    chunks_at_once: int
    memory: int

    @classmethod
    def fit(
        cls,
        encoder: VideoEncoder,
        height: int,
        width: int,
        max_memory: int | None = None,
    ) -> Self:
        """Plans the largest window, and then the most chunks, that fit.

        Args:
            encoder: a `VideoEncoder`.
            height: int. Rows of a frame, any number.
            width: int. Columns of a frame.
            max_memory: int or None. Bytes. Defaults to 2 GB.

        Raises:
            ValueError: if the smallest window does not fit.
        """
        max_memory = DEFAULT_MEMORY if max_memory is None else max_memory
        frames = encoder.temporal_compression + 1
        rows, columns = latent_size(height, width)
        chunk_shape = (frames, PATCH * rows, PATCH * columns, 3)
        min_side = 2 * encoder.context + 1
        while (need := encoder_bytes(encoder, rows, columns)) > max_memory:
            if max(rows, columns) <= min_side:
                raise ValueError(
                    f"Encoding a chunk of {height}x{width} pixels needs "
                    f"{need / 1e9:.2g} GB. "
                    f"Received: max_memory={max_memory / 1e9:.2g} GB"
                )
            # Halves the longer side; the context is added to the half.
            if rows >= columns:
                rows = max(min_side, rows // 2 + encoder.context)
            else:
                columns = max(min_side, columns // 2 + encoder.context)
        chunks_at_once = min(
            max_chunks_at_once(),
            max_memory // need,
            max(1, TOKENS_AT_ONCE // (frames * rows * columns)),
        )
        return cls(chunk_shape, (rows, columns), chunks_at_once, chunks_at_once * need)


class ChunkEncoder:
    """Encodes chunks as planned, in windows if a whole frame takes too much memory.

    A window is encoded together with everything that its latents depend on, so the
    latents are the same however the frame is split. All batches have the same shape.

    Args:
        model: a `Regen` or a `ConvAutoencoder`.
        plan: an `EncodingPlan`.

    Raises:
        ValueError: when called, if a latent is not finite.
    """

    def __init__(self, model: Regen | ConvAutoencoder, plan: EncodingPlan) -> None:
        self._encoder = model.encoder
        self._window = plan.window
        self._run = Batches(model.encode, plan.chunks_at_once, fixed=True)

    def __call__(self, chunks: np.ndarray) -> np.ndarray:
        """Encodes chunks.

        Args:
            chunks: array of shape `(n, k + 1, height, width, 3)`, the plan's
                `chunk_shape`, uint8 or float32 in [-1, 1].

        Returns:
            float32 array of shape `(n, 2, height / 8, width / 8, C)`.
        """
        size = latent_size(*chunks.shape[2:4])
        rows, columns = self._window
        context = self._encoder.context
        latents = np.empty(
            (len(chunks), 2, *size, self._encoder.latent_channels), "float32"
        )
        for top, bottom, above in _windows(size[0], rows, context):
            for left, right, before in _windows(size[1], columns, context):
                down = slice(PATCH * above, PATCH * (above + rows))
                across = slice(PATCH * before, PATCH * (before + columns))
                window = self._run(chunks[:, :, down, across])
                latents[:, :, top:bottom, left:right] = window[
                    :, :, top - above : bottom - above, left - before : right - before
                ]
        return latents


def _windows(length, size, context):
    """Yields intervals that cover `length`, each with the start of its window.

    A window holds its interval and the context on both sides of it. At the frame's
    edges there is nothing beyond, so there the context is on one side only.
    """
    start = 0
    while start < length:
        first = min(max(0, start - context), length - size)
        stop = length if first + size >= length else first + size - context
        yield start, stop, first
        start = stop
