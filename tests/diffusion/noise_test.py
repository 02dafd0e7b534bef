import numpy as np
import pytest
from keras import ops

from keras_regen.diffusion import CanvasArea, Sampling, draw_noise, noise_canvas
from keras_regen.diffusion.noise import _pcg4d, _threefry, canvas_words

EXPECTED = [[0.268083, -0.449207], [1.438279, 0.481075], [0.002574, -1.201129]]
WORD = 2**32 - 1


def signed(words):
    return [np.array([word], "uint32").view("int32") for word in words]


def unsigned(words):
    words = [np.asarray(ops.convert_to_numpy(word)) for word in words]
    return [int(word.view("uint32")[0]) for word in words]


class TestBits:
    """The integers are those of the papers, bit for bit, with NumPy and with Keras."""

    @pytest.mark.parametrize("xp", [np, ops])
    @pytest.mark.parametrize(
        ("inputs", "outputs"),
        [
            # Test vectors of the Random123 library: key, counter.
            ((0, 0, 0, 0), (0x6B200159, 0x99BA4EFE)),
            ((WORD, WORD, WORD, WORD), (0x1CB996FC, 0xBB002BE7)),
            (
                (0x13198A2E, 0x03707344, 0x243F6A88, 0x85A308D3),
                (0xC4923A9C, 0x483DF7A0),
            ),
        ],
    )
    def test_threefry(self, xp, inputs, outputs):
        words = signed(inputs)
        if xp is ops:
            words = [ops.convert_to_tensor(word) for word in words]
        assert unsigned(_threefry(xp, *words)) == [*outputs]

    @pytest.mark.parametrize("xp", [np, ops])
    def test_pcg4d(self, xp):
        """Against Python's integers, which do not wrap around by themselves."""

        def mixed(x, y, z, w):
            x = x + y * w & WORD
            y = y + z * x & WORD
            z = z + x * y & WORD
            return x, y, z, w + y * z & WORD

        for inputs in np.random.default_rng(0).integers(0, 2**32, (9, 4)).tolist():
            words = mixed(*(word * 1664525 + 1013904223 & WORD for word in inputs))
            expected = mixed(*(word ^ word >> 16 for word in words))
            words = signed(inputs)
            if xp is ops:
                words = [ops.convert_to_tensor(word) for word in words]
            assert unsigned(_pcg4d(xp, *words)) == [*expected]


def test_the_model_draws_what_numpy_draws():
    seeds, times = [0, 2**64 - 1, 5], np.array([[0.0, -0.25], [1e6, 1e9], [1, 2.5]])
    corners = np.array([[0, 0], [8, 24], [2**31 - 40, 2**20]], "int32")
    words = np.stack([canvas_words(*pair) for pair in zip(seeds, times, strict=True)])
    scale = np.array([1, 1, 0.5], "float32")
    noise = draw_noise(CanvasArea(words, corners, scale), 40, 56)
    noise = ops.convert_to_numpy(noise)
    assert noise.shape == (3, 2, 40, 56, 3) and noise.dtype == "float32"
    for i, (row, column) in enumerate(corners.tolist()):
        expected = noise_canvas(
            seeds[i], times[i], (row, row + 40), (column, column + 56)
        )
        np.testing.assert_allclose(noise[i], scale[i] * expected, atol=1e-6, rtol=0)


def test_every_crop_is_of_one_canvas():
    whole = noise_canvas(7, np.arange(-2.0, 3.0), (0, 150), (0, 140))
    for frame, rows, columns in ((0, (3, 90), (60, 70)), (4, (64, 128), (139, 140))):
        crop = noise_canvas(7, [frame - 2.0], rows, columns)
        expected = whole[frame : frame + 1, rows[0] : rows[1], columns[0] : columns[1]]
        np.testing.assert_array_equal(crop, expected)


def stacked(*canvases):
    return np.concatenate([noise_canvas(*c, (0, 192), (0, 192)) for c in canvases])


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(stacked((1, np.arange(8.0))), id="frames"),
        pytest.param(stacked((1, np.arange(-4, 4) / 65536)), id="times in between"),
        pytest.param(stacked(*((seed, [0.0]) for seed in range(8))), id="seeds"),
        pytest.param(
            stacked(*((9 + (seed << 32), [0.0]) for seed in range(8))), id="high seeds"
        ),
    ],
)
class TestQuality:
    """The first axis is time, or the seed."""

    def test_it_is_standard_normal(self, noise):
        values = np.sort(noise.astype("float64"), axis=None)
        count = values.size
        assert abs(values.mean()) < 4 / np.sqrt(count)
        assert abs(values.var() - 1) < 4 * np.sqrt(2 / count)
        assert abs((values**4).mean() - 3) < 4 * np.sqrt(96 / count)
        # Kolmogorov and Smirnov's distance, to a table of the normal distribution.
        points, below = (
            [-2.32635, -1.28155, -0.52440, 0, 0.67449, 1.64485, 3.09023],
            [*(0.01, 0.1, 0.3, 0.5, 0.75, 0.95, 0.999)],
        )
        found = np.searchsorted(values, points) / count
        assert np.abs(found - below).max() < 2 / np.sqrt(count)

    def test_neighbours_are_independent(self, noise):
        noise = noise.astype("float64")
        for axis in range(4):
            for lag in (1, 2):
                a = np.take(noise, range(noise.shape[axis] - lag), axis)
                b = np.take(noise, range(lag, noise.shape[axis]), axis)
                limit = 5 / np.sqrt(a.size)
                assert abs((a * b).mean()) < limit
                # Nor do large values have large neighbours: channels share a radius.
                assert abs(((a**2 - 1) * (b**2 - 1)).mean()) < 2 * limit

    def test_the_spectrum_is_flat(self, noise):
        power = np.abs(np.fft.fft2(noise, axes=(1, 2))) ** 2 / 192**2
        # Exponentially distributed: a line or a grid would stand out.
        assert power.max() < np.log(power.size) + 9
        bands = power.reshape(8, 24, 8, 24, 8, 3).mean(axis=(0, 2, 4, 5))
        assert np.abs(bands - 1).max() < 5 / np.sqrt(power.size / 2 / bands.size)


def test_it_is_stable():
    # Stored values: the noise is part of every video ever decoded.
    noise = noise_canvas(3, [0.0, 0.5, -1.0], (64, 66), (10, 11))
    np.testing.assert_allclose(noise[:, :, 0, 0], EXPECTED, atol=1e-6)


def test_frames_in_between_have_noise_of_their_own():
    a = noise_canvas(0, [0.0, 0.5, 1.0], (0, 8), (0, 8))
    b = noise_canvas(0, [0.0, 1.0], (0, 8), (0, 8))
    np.testing.assert_array_equal(a[::2], b)
    assert np.abs(a[1] - a[0]).max() > 0.1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**64}, "seed=18446744073709551616"),
        ({"times": [1e300]}, r"times=\[1.e\+300\]"),
        ({"times": [np.nan]}, r"times=\[nan\]"),
        ({"rows": (-8, 8)}, r"rows=\(-8, 8\)"),
        ({"columns": (8, 8)}, r"columns=\(8, 8\)"),
        ({"columns": (8, 2**31 + 1)}, r"columns=\(8, 2147483649\)"),
    ],
)
def test_bad_input(kwargs, message):
    good = {"seed": 0, "times": [0.0], "rows": (0, 8), "columns": (0, 8)}
    with pytest.raises(ValueError, match=f"Received: {message}"):
        noise_canvas(**{**good, **kwargs})


@pytest.mark.parametrize("corner", [(-1, 0), (0, 2**31)])
def test_an_area_beyond_the_canvas(corner):
    with pytest.raises(
        ValueError, match=rf"Received: \[\[{corner[0]}, {corner[1]}\]\]"
    ):
        Sampling().area([[0.0]], [corner])


@pytest.mark.parametrize("name", ["num_steps", "seed"])
def test_sampling_takes_whole_numbers(name):
    with pytest.raises(ValueError, match=f"Received: {name}=1.5"):
        Sampling(**{name: 1.5})
