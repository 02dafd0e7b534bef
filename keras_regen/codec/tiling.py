"""Tiles of a frame, overlapping and blended."""

import itertools

import numpy as np


class Tiling:
    """Splits a frame of latents into tiles that overlap, all of one shape.

    Tiles are as equal and as few as cover the frame. Weights fall linearly over the
    overlap and sum to 1, so that no line shows.

    Args:
        rows: int. Latent rows of the frame.
        columns: int. Latent columns.
        size: int. The most rows and columns of a tile.
        overlap: int. The least that neighbours share, less than `size`.

    Attributes:
        tile_rows: int. Rows of every tile.
        tile_columns: int. Columns of every tile.

    Example:

    >>> tiling = Tiling(16, 29, size=16, overlap=2)
    >>> tiling.corners, tiling.tile_rows, tiling.tile_columns
    ([(0, 0), (0, 13)], 16, 16)
    """

    def __init__(self, rows, columns, size, overlap):
        self._row_starts, self.tile_rows = _cover(rows, size, overlap)
        self._column_starts, self.tile_columns = _cover(columns, size, overlap)
        self.corners = [*itertools.product(self._row_starts, self._column_starts)]

    def __len__(self):
        return len(self.corners)

    def weights(self, scale):
        """The weight of every tile's pixels, as that of its rows and its columns.

        Args:
            scale: int. Pixels of a latent, along each axis.

        Returns:
            List of pairs of float32 arrays of shapes `(scale * tile_rows, 1)` and
            `(1, scale * tile_columns)`, to be multiplied, in the order of `corners`.
        """
        down = _ramps(self._row_starts, self.tile_rows, scale)
        across = _ramps(self._column_starts, self.tile_columns, scale)
        return [(d[:, None], a[None]) for d, a in itertools.product(down, across)]

    def lines(self, axis, scale):
        """Pixels in whose middle two tiles have equal weight, along 0 or 1."""
        starts = (self._row_starts, self._column_starts)[axis]
        size = (self.tile_rows, self.tile_columns)[axis]
        return [scale * (a + size + b) // 2 for a, b in itertools.pairwise(starts)]


def _cover(length, size, overlap):
    """Starts of equal intervals over `length`, and their size."""
    if length <= size:
        return [0], length
    count = -(-(length - overlap) // (size - overlap))
    size = -(-(length + (count - 1) * overlap) // count)
    starts = np.linspace(0, length - size, count).round().astype(int)
    return starts.tolist(), size


def _ramps(starts, size, scale):
    """Weights of the intervals, which sum to 1 everywhere."""
    centres = (np.arange(scale * size) + 0.5) / scale
    length = scale * (starts[-1] + size)
    ramps = np.zeros((len(starts), length))
    for i, start in enumerate(starts):
        ramp = np.ones(scale * size)
        if i > 0:
            ramp = np.minimum(ramp, centres / (starts[i - 1] + size - start))
        if i < len(starts) - 1:
            overlap = start + size - starts[i + 1]
            ramp = np.minimum(ramp, (size - centres) / overlap)
        ramps[i, scale * start : scale * (start + size)] = ramp
    # Rounded to whole latents, three small tiles may meet.
    ramps = (ramps / ramps.sum(axis=0)).astype("float32")
    return [
        ramp[scale * start : scale * (start + size)]
        for start, ramp in zip(starts, ramps, strict=True)
    ]
