"""Arrays whose rows are read or computed when they are used."""

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np


class LazyArray:
    """Rows that are read or computed when NumPy asks for them.

    A slice is a `LazyArray` again, a number makes one row, and other indices all.

    Args:
        make: callable of a range, the numbers of consecutive rows, that returns an
            array of them, of `dtype`.
        rows: range. The numbers of all rows.
        row_shape: tuple of int. The shape of a row.
        dtype: `np.dtype`.

    Attributes:
        shape: tuple of int, `(len(rows), *row_shape)`.
        dtype: `np.dtype`.
    """

    def __init__(
        self,
        make: Callable[[range], np.ndarray],
        rows: range,
        row_shape: tuple[int, ...],
        dtype: np.dtype,
    ) -> None:
        self._make, self._rows = make, rows
        self.shape, self.dtype = (len(rows), *row_shape), dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, numbers.Integral):
            row = range(len(self))[index]
            return self._make(self._rows[row : row + 1])[0]
        if not isinstance(index, slice) or index.step not in (None, 1):
            return np.asarray(self)[index]
        return LazyArray(self._make, self._rows[index], self.shape[1:], self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self._make(self._rows)
        return values if dtype is None else values.astype(dtype)
