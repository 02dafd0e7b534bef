"""The Frechet distance of two Gaussians, and the statistics of features."""

import numpy as np
from numpy.typing import ArrayLike

# Eigenvalues of a covariance that are negative by more than this share of the largest
# are not rounding errors.
TOLERANCE = 1e-6
# The distance of samples overestimates the distance of their distributions. With fewer
# samples than this, the bias exceeds the differences that matter.
FEW_CLIPS = 256


def frechet_distance(
    mean_1: np.ndarray,
    covariance_1: np.ndarray,
    mean_2: np.ndarray,
    covariance_2: np.ndarray,
) -> float:
    """Computes the squared Frechet distance of two Gaussians.

    `|mean_1 - mean_2|^2 + tr(C_1) + tr(C_2) - 2 tr((C_1 C_2)^(1/2))`, in float64. The
    last trace is the sum of the singular values of `S_1^T S_2`, where `C = S S^T`. This
    needs no root of a product, so covariances may have any rank.

    Args:
        mean_1: array of shape `(D,)`.
        covariance_1: array of shape `(D, D)`, symmetric and positive semi-definite.
        mean_2: as `mean_1`.
        covariance_2: as `covariance_1`.

    Returns:
        float, 0 or more.

    Raises:
        ValueError: if the arrays are not as above, or not finite.

    Example:

    >>> zero, one, four = [0.0, 0.0], np.eye(2), 4 * np.eye(2)
    >>> frechet_distance(zero, one, [3.0, 0.0], four)
    11.0

    Reference:
        Dowson and Landau 1982, *The Frechet Distance Between Multivariate Normal
        Distributions*.
    """
    mean_1, factor_1 = _checked("1", mean_1, covariance_1)
    mean_2, factor_2 = _checked("2", mean_2, covariance_2)
    if mean_1.shape != mean_2.shape:
        raise ValueError(
            "The Gaussians must have the same number of dimensions. "
            f"Received: mean_1.shape={mean_1.shape}, mean_2.shape={mean_2.shape}"
        )
    cross = np.linalg.svd(factor_1.T @ factor_2, compute_uv=False).sum()
    traces = np.square(factor_1).sum() + np.square(factor_2).sum()
    # Rounding may take equal Gaussians below zero.
    return max(float(np.square(mean_1 - mean_2).sum() + traces - 2 * cross), 0.0)


def _checked(number, mean, covariance):
    """Returns the mean, and a factor S of the covariance S S^T, in float64."""
    mean = np.asarray(mean, "float64")
    covariance = np.asarray(covariance, "float64")
    if mean.ndim != 1 or covariance.shape != 2 * mean.shape:
        raise ValueError(
            f"`mean_{number}` must have shape (D,) and `covariance_{number}` (D, D). "
            f"Received: shapes {mean.shape} and {covariance.shape}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(
            f"`mean_{number}` and `covariance_{number}` must be finite. "
            f"Received: mean_{number}={mean}, covariance_{number}={covariance}"
        )
    values, vectors = np.linalg.eigh(covariance)
    scale = np.abs(values).max(initial=0.0)
    asymmetry = np.abs(covariance - covariance.T).max(initial=0.0)
    if asymmetry > TOLERANCE * scale or values.min(initial=0.0) < -TOLERANCE * scale:
        raise ValueError(
            f"`covariance_{number}` must be symmetric and positive semi-definite. "
            f"Received: covariance_{number}={covariance}"
        )
    # Zeros with rounding errors must be zero, because their roots are not small. Their
    # columns are left out, so that the product of the factors of few samples is small.
    kept = values > scale * len(mean) * np.finfo("float64").eps
    return mean, vectors[:, kept] * np.sqrt(values[kept])


class FeatureStatistics:
    """Mean and covariance of features that come in batches, in float64.

    The result does not depend on the order or the sizes of the batches, except for
    rounding.

    Args:
        num_features: int. D.

    Attributes:
        count: int. Number of features seen, N.
        mean: float64 array of shape `(D,)`.

    Example:

    >>> statistics = FeatureStatistics(2)
    >>> statistics.update([[0.0, 1.0], [2.0, 1.0]])
    >>> statistics.update([[4.0, 4.0]])
    >>> statistics.mean.tolist(), statistics.covariance.tolist()
    ([2.0, 2.0], [[4.0, 3.0], [3.0, 3.0]])

    Reference:
        Chan et al. 1979, *Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances*.
    """

    def __init__(self, num_features: int) -> None:
        self.num_features = num_features
        self.count = 0
        self.mean = np.zeros(num_features)
        # The sum of the outer products of the deviations from the mean.
        self._scatter = np.zeros((num_features, num_features))

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance, float64 of shape `(D, D)`; NaN for N < 2."""
        if self.count < 2:
            return np.full_like(self._scatter, np.nan)
        return self._scatter / (self.count - 1)

    def distance(self, other: "FeatureStatistics") -> float:
        """Returns `frechet_distance` to other statistics; NaN if either has N < 2."""
        if min(self.count, other.count) < 2:
            return float("nan")
        return frechet_distance(
            self.mean, self.covariance, other.mean, other.covariance
        )

    def update(self, features: ArrayLike) -> None:
        """Adds features.

        Args:
            features: float array of shape `(N, D)`.

        Raises:
            ValueError: if they have another shape or are not finite.
        """
        features = np.asarray(features, "float64")
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise ValueError(
                f"`features` must have shape (N, {self.num_features}). "
                f"Received: features.shape={features.shape}"
            )
        if not np.isfinite(features).all():
            raise ValueError(
                f"`features` must be finite. Received: features={features}"
            )
        count = len(features)
        if not count:
            return
        mean = features.mean(axis=0)
        deviations = features - mean
        total = self.count + count
        shift = mean - self.mean
        self._scatter += deviations.T @ deviations
        self._scatter += np.outer(shift, shift) * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total
