"""The baseline from transform coding: the best fixed zone of a 3D DCT."""

import math
from typing import Any

import numpy as np

from keras_regen.checks import check_whole
from keras_regen.evaluation.embedders.embedder import (
    BITS_PER_VALUE,
    Embedder,
    Reconstruction,
    check_frames,
)
from keras_regen.pixels import to_uint8

BLOCK = 8
# Orthonormal: luminance and two colour differences.
COLOUR = np.array([[1, 1, 1], [1, 0, -1], [-1, 2, -1]]) / np.sqrt([[3], [2], [6]])


class ZonalDct:
    """Keeps as many 3D DCT coefficients of every block as `match` keeps values.

    Blocks have 8x8 pixels and `num_frames` frames, in orthonormal luminance and colour
    differences. The last frame, row or column pads incomplete blocks. All blocks share
    one zone: the coefficients with the most energy in this video, unquantised, so no
    fixed zone is better. A model that has learnt anything about videos must beat it.

    Args:
        match: `Embedder` that sets the number of values, which is never exceeded.
        num_frames: int. Frames of a block. Defaults to `9`.
        name: str. Defaults to `"dct"`.

    Raises:
        ValueError: if `num_frames` is less than 1.
    """

    def __init__(self, match: Embedder, num_frames: int = 9, name: str = "dct") -> None:
        check_whole(1, math.inf, num_frames=num_frames)
        self.match = match
        self.num_frames = num_frames
        self.name = name
        space = _dct_matrix(BLOCK)
        self._transforms = (_dct_matrix(num_frames), space, space, COLOUR)

    @property
    def identity(self) -> list[Any]:
        """See `Embedder`."""
        return [self.num_frames, self.match.name, getattr(self.match, "identity", None)]

    def reconstruct(self, video: np.ndarray) -> Reconstruction:
        """See `Embedder`."""
        check_frames(video)
        shape = frames, height, width = video.shape[:3]
        padded = self._padded(shape)
        pads = [(0, more - size) for size, more in zip(shape, padded, strict=True)]
        groups = np.split(
            np.pad(video, [*pads, (0, 0)], mode="edge"), padded[0] // self.num_frames
        )
        zone = self._zone(groups, self._values_per_block(*shape))
        # The coefficients are computed again: storing them takes eight times the video.
        decoded = np.concatenate(
            [to_uint8(self._inverse(self._forward(group) * zone)) for group in groups]
        )
        num_values = self.num_values(*shape)
        return Reconstruction(
            decoded[:frames, :height, :width], num_values, BITS_PER_VALUE * num_values
        )

    def num_values(self, num_frames: int, height: int, width: int) -> int:
        """See `Embedder`."""
        blocks = self._num_blocks(num_frames, height, width)
        return blocks * self._values_per_block(num_frames, height, width)

    def _values_per_block(self, num_frames, height, width):
        values = self.match.num_values(num_frames, height, width)
        fair_share = values // self._num_blocks(num_frames, height, width)
        return min(fair_share, self.num_frames * BLOCK * BLOCK * 3)

    def _num_blocks(self, num_frames, height, width):
        frames, rows, columns = self._padded((num_frames, height, width))
        return frames // self.num_frames * (rows // BLOCK) * (columns // BLOCK)

    def _padded(self, shape):
        steps = (self.num_frames, BLOCK, BLOCK)
        return [-(-n // step) * step for n, step in zip(shape, steps, strict=True)]

    def _zone(self, groups, size):
        """Returns a mask of the `size` coefficients with the most energy."""
        energy = sum(
            np.einsum("yxtijk,yxtijk->tijk", c, c) for c in map(self._forward, groups)
        )
        zone = np.zeros(energy.size)
        zone[np.argsort(-energy, axis=None, kind="stable")[:size]] = 1
        return zone.reshape(energy.shape)

    def _forward(self, frames):
        """Transforms uint8 frames to coefficients `(rows, columns, T, 8, 8, 3)`."""
        count, height, width, _ = frames.shape
        blocks = (frames / 127.5 - 1).reshape(
            count, height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3
        )
        return np.einsum(
            "fyaxbc,tf,ia,jb,kc->yxtijk", blocks, *self._transforms, optimize=True
        )

    def _inverse(self, coefficients):
        """Transforms coefficients to frames, roughly in [-1, 1]."""
        frames = np.einsum(
            "yxtijk,tf,ia,jb,kc->fyaxbc", coefficients, *self._transforms, optimize=True
        )
        count, rows, _, columns, _, _ = frames.shape
        return frames.reshape(count, rows * BLOCK, columns * BLOCK, 3)


def _dct_matrix(size):
    """Returns the orthonormal DCT matrix, with a row for each frequency."""
    n = np.arange(size)
    matrix = np.cos(np.pi * (n[None] + 0.5) * n[:, None] / size) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return matrix
