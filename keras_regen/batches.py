"""Running a compiled function over many inputs."""

from collections.abc import Callable

import numpy as np


class Batches:
    """Runs a function in batches of one shape.

    Once a full batch has been run, short batches are padded to its size, because a new
    shape may be compiled anew.

    Args:
        function: callable of arrays with a batch axis, returning one.
        size: int. Inputs in a batch.
        fixed: bool. Whether short batches are padded before a full one has been run
            too, so that outputs do not depend on the number of inputs. Defaults to
            `False`.
    """

    def __init__(
        self, function: Callable[..., np.ndarray], size: int, fixed: bool = False
    ) -> None:
        self._function = function
        self._size = size
        self._seen_full = fixed

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        """Returns the outputs for any number of inputs, at least 1."""
        outputs = []
        for start in range(0, len(arrays[0]), self._size):
            batch = [array[start : start + self._size] for array in arrays]
            count = len(batch[0])
            if count == self._size:
                self._seen_full = True
            elif self._seen_full:
                fill = (0, self._size - count)
                batch = [
                    np.pad(x, [fill] + [(0, 0)] * (x.ndim - 1), mode="edge")
                    for x in batch
                ]
            outputs.append(self._function(*batch)[:count])
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
