import numpy as np
import pytest

from keras_regen.diffusion import noise_canvas

EXPECTED = [[-0.37877, 0.766236], [-1.253355, -0.35558], [0.090798, -0.60243]]


def test_every_crop_is_of_one_canvas():
    whole = noise_canvas(7, np.arange(-2.0, 3.0), (0, 150), (0, 140))
    for frame, rows, columns in ((0, (3, 90), (60, 70)), (4, (64, 128), (139, 140))):
        crop = noise_canvas(7, [frame - 2.0], rows, columns)
        expected = whole[frame : frame + 1, rows[0] : rows[1], columns[0] : columns[1]]
        np.testing.assert_array_equal(crop, expected)


def test_it_is_standard_normal():
    noise = noise_canvas(1, np.arange(8.0), (0, 192), (0, 192)).astype("float64")
    count = noise.size
    assert abs(noise.mean()) < 4 / np.sqrt(count)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / count)
    # Neighbours in every direction are independent.
    for axis in range(4):
        a = np.take(noise, range(noise.shape[axis] - 1), axis)
        b = np.take(noise, range(1, noise.shape[axis]), axis)
        assert abs((a * b).mean()) < 5 / np.sqrt(a.size)
    # The two halves of a block, which share their radius, are independent too.
    half = noise.reshape(8, 3, 64, 3, 64, 3)
    pairs = half[:, :, :32] ** 2 * half[:, :, 32:] ** 2
    assert abs(pairs.mean() - 1) < 5 * np.sqrt(8 / pairs.size)


def test_it_is_stable():
    # Stored values: the noise is part of every video ever decoded.
    noise = noise_canvas(3, [0.0, 0.5, -1.0], (64, 66), (10, 11))
    np.testing.assert_allclose(noise[:, :, 0, 0], EXPECTED, rtol=1e-4)


def test_frames_in_between_have_noise_of_their_own():
    a = noise_canvas(0, [0.0, 0.5, 1.0], (0, 8), (0, 8))
    b = noise_canvas(0, [0.0, 1.0], (0, 8), (0, 8))
    np.testing.assert_array_equal(a[::2], b)
    assert np.abs(a[1] - a[0]).max() > 0.1


def test_seeds_differ():
    a, b = (noise_canvas(seed, [0.0], (0, 8), (0, 8)) for seed in (0, 1))
    assert np.abs(a - b).max() > 0.1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"seed": -1}, "seed=-1"),
        ({"rows": (-8, 8)}, r"rows=\(-8, 8\)"),
        ({"columns": (8, 8)}, r"columns=\(8, 8\)"),
    ],
)
def test_bad_input(kwargs, message):
    good = {"seed": 0, "times": [0.0], "rows": (0, 8), "columns": (0, 8)}
    with pytest.raises(ValueError, match=f"Received: {message}"):
        noise_canvas(**{**good, **kwargs})


def test_times_just_before_the_first_frame():
    ticks = np.array([-1, -2, -1024, 0]) / 65536
    canvas = noise_canvas(0, ticks, (0, 8), (0, 8))
    for i in range(len(ticks)):
        for j in range(i):
            assert np.abs(canvas[i] - canvas[j]).mean() > 0.5
