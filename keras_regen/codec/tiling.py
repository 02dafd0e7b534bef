"""Overlapping tiles of a frame, and the weights that blend them."""

import itertools

import numpy as np

# Rows and columns that neighbouring tiles share at least, in latents.
_OVERLAP = 2


class Tiling:
    """Splits a frame of latents into tiles that overlap, all of one shape.

    There are as few tiles as cover the frame, spaced evenly. Weights fall linearly over
    the overlap and sum to 1, so that no line shows.

    Args:
        rows: int. Latent rows of the frame.
        columns: int. Latent columns.
        size: int. The most rows and columns of a tile.
        overlap: int. The fewest rows or columns that neighbours share, less than
            `size`. Defaults to `2`.

    Attributes:
        size: int.
        corners: list of `(row, column)`, the first of every tile.
        tile_rows: int. Rows of every tile.
        tile_columns: int. Columns of every tile.

    Example:

    >>> tiling = Tiling(16, 29, size=16)
    >>> tiling.corners, tiling.tile_rows, tiling.tile_columns
    ([(0, 0), (0, 13)], 16, 16)
    """

    def __init__(
        self, rows: int, columns: int, size: int, overlap: int = _OVERLAP
    ) -> None:
        self.size = size
        self._row_starts, self.tile_rows = _cover(rows, size, overlap)
        self._column_starts, self.tile_columns = _cover(columns, size, overlap)
        self.corners = [*itertools.product(self._row_starts, self._column_starts)]

    def __len__(self) -> int:
        return len(self.corners)

    def weights(self, scale: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns the weights of every tile's pixels, as factors.

        Args:
            scale: int. Pixels of a latent, along each axis.

        Returns:
            List of pairs of float32 arrays, in the order of `corners`: the weights of
            rows, of shape `(scale * tile_rows, 1)`, and those of columns, of shape
            `(1, scale * tile_columns)`. A pixel's weight is their product.
        """
        down = _ramps(self._row_starts, self.tile_rows, scale)
        across = _ramps(self._column_starts, self.tile_columns, scale)
        return [(d[:, None], a[None]) for d, a in itertools.product(down, across)]


def _cover(length, size, overlap):
    """Returns the starts of equal intervals over `length`, and their size."""
    if length <= size:
        return [0], length
    count = -(-(length - overlap) // (size - overlap))
    size = -(-(length + (count - 1) * overlap) // count)
    starts = np.linspace(0, length - size, count).round().astype(int)
    return starts.tolist(), size


def _ramps(starts, size, scale):
    """Returns the weights of the intervals, which sum to 1 everywhere."""
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
    # Starts are rounded to whole latents, so three small tiles may overlap.
    ramps = (ramps / ramps.sum(axis=0)).astype("float32")
    return [
        ramp[scale * start : scale * (start + size)]
        for start, ramp in zip(starts, ramps, strict=True)
    ]
