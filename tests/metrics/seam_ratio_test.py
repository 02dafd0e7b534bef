import numpy as np
import pytest

from keras_regen.metrics import seam_ratio


def clip(seed=0, shape=(16, 24, 24, 3)):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype("float32")


@pytest.mark.parametrize("axis", ["time", "rows", "columns"])
def test_jumps_count(axis):
    reference = clip()
    seams = [5, 11]
    assert seam_ratio(reference, reference, seams, axis) == pytest.approx(1)
    index = np.arange(reference.shape[["time", "rows", "columns"].index(axis)])
    step = np.searchsorted(seams, index, side="right") % 2
    shape = [1, 1, 1, 1]
    shape[["time", "rows", "columns"].index(axis)] = -1
    jumping = reference + 0.4 * step.reshape(shape).astype("float32")
    assert seam_ratio(reference, jumping, seams, axis) > 1.2
    # No jumps at other places.
    assert seam_ratio(reference, jumping, [7], axis) < 1


def test_smoothing_counts_the_other_way():
    reference = clip()
    smoothed = reference.copy()
    smoothed[7] = smoothed[8] = (reference[7] + reference[8]) / 2
    assert seam_ratio(reference, smoothed, [8]) == 0


def test_uint8_does_not_wrap():
    reference = np.zeros((4, 8, 8, 3), "uint8")
    reference[::2] = 250
    assert seam_ratio(reference, reference, [2]) == 1
    assert seam_ratio(reference, reference[::-1], [2]) == 1


def test_a_cut_in_the_reference_is_no_seam():
    reference = clip()
    reference[8:] += 0.4
    assert seam_ratio(reference, reference, [8]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("seams", "axis", "message"),
    [
        ([], "time", "Received: seams"),
        ([0], "time", "Received: seams"),
        ([16], "time", "Received: seams"),
        (range(1, 16), "time", "Received: seams"),
        ([3], "depth", "axis='depth'"),
    ],
)
def test_errors(seams, axis, message):
    with pytest.raises(ValueError, match=message):
        seam_ratio(clip(), clip(), seams, axis)


def test_nothing_moves():
    still = np.zeros((6, 8, 8, 3), "uint8")
    with pytest.raises(ValueError, match="must change"):
        seam_ratio(still, still, [3])
