"""Joining the rows of consecutive pieces, which slices have twice."""

import h5py
import numpy as np

_OTHER = (
    "A piece must hold the chunks of the pieces before it unchanged. "
    "Received: a piece with other values"
)


def join_rows(arrays: list[np.ndarray], places: list[int]) -> np.ndarray:
    """Joins arrays that may begin with rows that those before them have.

    Args:
        arrays: list of arrays.
        places: list of int. The row of the result at which each begins.

    Raises:
        ValueError: if rows that two arrays have differ.
    """
    new, repeated, stop = [], [], 0
    for array, place in zip(arrays, places, strict=True):
        count = min(max(0, stop - place), len(array))
        if count:
            repeated.append((place, array[:count]))
        if count < len(array):
            new.append(array[count:])
        stop += len(array) - count
    joined = np.concatenate(new)
    for place, rows in repeated:
        if not np.array_equal(joined[place : place + len(rows)], rows):
            raise ValueError(_OTHER)
    return joined


def append_rows(dataset: h5py.Dataset, rows: np.ndarray, place: int) -> bool:
    """Writes rows behind what a dataset has, unless it has them already.

    Args:
        dataset: `h5py.Dataset`.
        rows: array.
        place: int. The row at which they begin.

    Returns:
        Whether they were written.

    Raises:
        ValueError: if the dataset has others.
    """
    stop = place + len(rows)
    if stop <= len(dataset):
        if not np.array_equal(dataset[place:stop], rows):
            raise ValueError(_OTHER)
        return False
    dataset.resize(stop, axis=0)
    dataset[place:] = rows
    return True
