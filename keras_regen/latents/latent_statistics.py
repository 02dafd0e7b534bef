"""The statistics that normalise the input of a latent diffusion model."""

from collections.abc import Mapping
from typing import Any

import numpy as np


class LatentStatistics:
    """Accumulates the mean and standard deviation of every latent channel, in batches.

    Example:

    >>> statistics = LatentStatistics()
    >>> statistics.update(np.zeros((4, 2, 8, 8, 16), "float32"))
    >>> statistics.update(np.ones((4, 2, 8, 8, 16), "float32"))
    >>> result = statistics.result()
    >>> result["chunks"], result["mean"][0][0], np.shape(result["std"])
    (8, 0.5, (2, 16))
    """

    def __init__(self) -> None:
        self._chunks = self._count = 0
        self._sum: Any = np.float64(0.0)
        self._squares: Any = np.float64(0.0)

    def update(self, latents: np.ndarray) -> None:
        """Adds latents of shape `(B, 2, h, w, C)`."""
        # Latents are of the order of one, so float64 is exact enough for the difference
        # of squares.
        latents = np.asarray(latents, "float64")
        self._chunks += len(latents)
        self._count += latents[:, 0, ..., 0].size
        self._sum = self._sum + latents.sum(axis=(0, 2, 3))
        self._squares = self._squares + np.square(latents).sum(axis=(0, 2, 3))

    @property
    def sums(self) -> dict[str, Any]:
        """The sums so far, in a form that can be written as JSON; see `add`."""
        return {
            "chunks": self._chunks,
            "count": self._count,
            "sum": self._sum.tolist(),
            "squares": self._squares.tolist(),
        }

    def add(self, sums: Mapping[str, Any]) -> None:
        """Adds the `sums` of other statistics."""
        self._chunks += sums["chunks"]
        self._count += sums["count"]
        self._sum = self._sum + np.array(sums["sum"])
        self._squares = self._squares + np.array(sums["squares"])

    def result(self) -> dict[str, Any]:
        """Returns the statistics, in a form that can be written as JSON.

        Returns:
            Dict with `chunks`, the number of chunks, and `mean` and `std`, each a pair
            of lists, for the content and the motion latent, of a number per channel.

        Raises:
            ValueError: if no latents were added.
        """
        if not self._chunks:
            raise ValueError(
                "Statistics need at least one chunk of latents. Received: none"
            )
        mean = self._sum / self._count
        variance = np.maximum(self._squares / self._count - np.square(mean), 0.0)
        return {
            "chunks": self._chunks,
            "mean": mean.tolist(),
            "std": np.sqrt(variance).tolist(),
        }
