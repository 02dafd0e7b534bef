import numpy as np

from keras_regen.codec.stitcher import crossfade


def test_where_both_agree_they_are_mixed():
    before = np.full((24, 32, 3), -0.01, "float32")
    mixed = crossfade(before, -before, weight=0.75, cut=1.0)
    np.testing.assert_allclose(mixed, -0.005, atol=1e-4)
    assert mixed.dtype == "float32"


def test_where_they_do_not_it_cuts():
    before = np.full((24, 32, 3), -1, "float32")
    for cut in (0.0, 1.0):
        mixed = crossfade(before, -before, weight=0.5, cut=cut)
        np.testing.assert_allclose(mixed, 1 - 2 * cut, atol=1e-4)


def test_place_by_place():
    before = np.zeros((32, 64, 3), "float32")
    after = before + 0.02
    after[:, 40:] = 1
    mixed = crossfade(before, after, weight=0.5, cut=1.0)
    np.testing.assert_allclose(mixed[:, :30], 0.01, atol=1e-4)
    np.testing.assert_allclose(mixed[:, 50:], 0.0, atol=0.01)
    # The share changes smoothly: no pixel jumps where neither input does.
    assert np.abs(np.diff(mixed[:, :40], axis=1)).max() < 0.005


def test_local_mean_is_of_the_window():
    before = np.zeros((20, 20, 3), "float32")
    after = before.copy()
    after[10, 10] = 0.4
    mixed = crossfade(before, after, weight=0.0, cut=1.0)
    # The mean difference, 0.4 / 64, counts as agreement.
    assert mixed[10, 10, 0] > 0.39
    # A frame of one row or column gives the same as a larger one.
    for shape in ((1, 20, 3), (20, 1, 3), (1, 1, 3)):
        before = np.zeros(shape, "float32")
        mixed = crossfade(before, before + 0.4, weight=0.0, cut=1.0)
        np.testing.assert_allclose(mixed, 0.4 * np.exp(-1), rtol=1e-5)


def test_order():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(
        crossfade(a, b, 0.3, 0.0), crossfade(b, a, 0.7, 1.0), atol=1e-6
    )
