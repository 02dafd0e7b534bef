import numpy as np
import pytest

from keras_regen.metrics import FeatureStatistics, frechet_distance

RNG = np.random.default_rng(0)


def gaussian(dimensions, rank=None, seed=0):
    rng = np.random.default_rng(seed)
    # Whole numbers, so that the rank is exact.
    factor = rng.integers(-9, 10, size=(dimensions, rank or 2 * dimensions))
    return rng.normal(size=dimensions), (factor @ factor.T).astype("float64")


def exact(mean_1, covariance_1, mean_2, covariance_2):
    """The definition, with fifty digits."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        product = mpmath.matrix(covariance_1) * mpmath.matrix(covariance_2)
        # Real and not negative, as for any product of two covariances.
        values, _ = mpmath.eig(product)
        root = sum(mpmath.sqrt(abs(mpmath.re(value))) for value in values)
    shift = np.square(mean_1 - mean_2).sum()
    return shift + np.trace(covariance_1 + covariance_2) - 2 * float(root)


class TestFrechetDistance:
    def test_commuting_covariances_have_a_closed_form(self):
        basis, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
        a, b = RNG.uniform(0, 9, 6), RNG.uniform(0, 9, 6)
        mean = RNG.normal(size=6)
        distance = frechet_distance(
            mean, basis * a @ basis.T, np.zeros(6), basis * b @ basis.T
        )
        expected = (mean**2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
        assert distance == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
    def test_agrees_with_the_definition_in_fifty_digits(self, scale):
        mean_1, covariance_1 = gaussian(5, seed=1)
        mean_2, covariance_2 = gaussian(5, seed=2)
        arguments = (mean_1, covariance_1, mean_2, scale * covariance_2)
        assert frechet_distance(*arguments) == pytest.approx(
            exact(*arguments), rel=1e-11
        )

    @pytest.mark.parametrize("ranks", [(3, 3), (3, 40), (1, 2)])
    def test_rank_deficient_covariances(self, ranks):
        mean_1, covariance_1 = gaussian(8, ranks[0], seed=3)
        mean_2, covariance_2 = gaussian(8, ranks[1], seed=4)
        arguments = (mean_1, covariance_1, mean_2, covariance_2)
        assert frechet_distance(*arguments) == pytest.approx(
            exact(*arguments), rel=1e-10
        )

    @pytest.mark.parametrize("rank", [2, 400])
    def test_zero_for_equal_and_symmetric(self, rank):
        one, other = gaussian(40, rank, seed=5), gaussian(40, rank, seed=6)
        assert 0 <= frechet_distance(*one, *one) < 1e-12 * np.trace(one[1])
        there, back = frechet_distance(*one, *other), frechet_distance(*other, *one)
        assert there == pytest.approx(back, rel=1e-12) and there > 1

    def test_rotations_change_nothing(self):
        (m1, c1), (m2, c2) = gaussian(7, seed=7), gaussian(7, 3, seed=8)
        q, _ = np.linalg.qr(RNG.normal(size=(7, 7)))
        rotated = frechet_distance(q @ m1, q @ c1 @ q.T, q @ m2, q @ c2 @ q.T)
        assert rotated == pytest.approx(frechet_distance(m1, c1, m2, c2), rel=1e-11)

    @pytest.mark.parametrize(
        ("mean", "covariance", "message"),
        [
            ([0.0], np.eye(2), "must have shape"),
            ([0.0, np.nan], np.eye(2), "must be finite"),
            ([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]], "symmetric and positive"),
            ([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], "symmetric and positive"),
            ([0.0], [[1.0]], "same number of dimensions"),
        ],
    )
    def test_errors(self, mean, covariance, message):
        with pytest.raises(ValueError, match=f"(?s){message}.*Received: "):
            frechet_distance(np.zeros(2), np.eye(2), mean, covariance)


class TestFeatureStatistics:
    # Far from zero, where sums of squares would lose the small digits.
    FEATURES = RNG.normal(size=(50, 6)) @ RNG.normal(size=(6, 6)) + 1e4

    def assert_whole(self, statistics):
        assert statistics.count == 50
        np.testing.assert_allclose(
            statistics.mean, self.FEATURES.mean(axis=0), rtol=1e-12
        )
        np.testing.assert_allclose(
            statistics.covariance, np.cov(self.FEATURES.T), rtol=1e-9, atol=1e-10
        )

    @pytest.mark.parametrize("sizes", [(50,), (1,) * 50, (7, 0, 30, 13)])
    def test_batches_of_any_size(self, sizes):
        statistics = FeatureStatistics(6)
        start = 0
        for size in sizes:
            statistics.update(self.FEATURES[start : start + size])
            start += size
        self.assert_whole(statistics)

    def test_order_changes_nothing(self):
        one, other = FeatureStatistics(6), FeatureStatistics(6)
        for batch in np.split(self.FEATURES, 10):
            one.update(batch)
        for batch in np.split(self.FEATURES[RNG.permutation(50)], 5):
            other.update(batch)
        scale = np.abs(one.covariance).max()
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-10)
        np.testing.assert_allclose(
            one.covariance, other.covariance, rtol=0, atol=1e-10 * scale
        )

    def test_few(self):
        statistics = FeatureStatistics(2)
        assert np.isnan(statistics.covariance).all()
        statistics.update([[1.0, 2.0]])
        assert np.isnan(statistics.covariance).all()
        statistics.update([[3.0, 2.0]])
        assert statistics.covariance.tolist() == [[2.0, 0.0], [0.0, 0.0]]

    def test_errors(self):
        statistics = FeatureStatistics(2)
        with pytest.raises(ValueError, match=r"shape \(N, 2\).*Received: "):
            statistics.update(np.zeros((3, 4)))
        with pytest.raises(ValueError, match="(?s)must be finite.*Received: "):
            statistics.update([[0.0, np.inf]])
