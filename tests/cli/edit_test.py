import dataclasses
import fractions

import numpy as np
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.editing import combine, interpolate, spread
from keras_regen.latents import Latents
from keras_regen.models import Regen
from keras_regen.video import VideoReader
from tests.cli.conftest import FRAMES, HEIGHT, WIDTH, assert_user_error
from tests.video.media import shown

SHAPE = (FRAMES, HEIGHT, WIDTH, 3)


@pytest.fixture
def inverted(run, preset, tmp_path):
    paths = []
    for seed in range(2):
        video = np.random.default_rng(seed).integers(0, 256, SHAPE).astype("uint8")
        np.save(tmp_path / f"{seed}.npy", video)
        options = ("--steps", 2, "--refinements", 1, "--schedule", "uniform")
        words = ("invert", f"{seed}.npy", "--preset", preset, *options)
        status, stdout, _ = run(*words)
        assert status == 0 and "4 of the decoder for a chunk" in stdout
        paths.append(tmp_path / f"{seed}.h5")
    return paths


def test_invert_and_edit(run, preset, inverted, tmp_path):
    first, second = (Latents.load(path) for path in inverted)
    assert first.noise.num_steps == 2 and first.num_frames == FRAMES
    assert first.noise.schedule == "uniform"
    codec = VideoCodec(Regen.from_preset(preset))
    assert run("interpolate", *inverted, "-o", "mix.npy", "--share", 0.25)[0] == 0
    expected = codec.decode(interpolate(first, second, 0.25))
    np.testing.assert_array_equal(np.load("mix.npy"), expected)
    # Latents are mixed without the codec.
    dataclasses.replace(first, preset=None).save("bare.h5")
    assert run("edit", "bare.h5", "--motion", inverted[1], "-o", "e.h5")[0] == 0
    assert_user_error(run("edit", "bare.h5", "-o", "e.npy"), "give --preset. A=bare")
    edited = dataclasses.replace(Latents.load("e.h5"), preset=first.preset)
    edited.save("e.h5")
    expected = combine(first, second, noise=first)
    np.testing.assert_array_equal(edited.array, expected.array)
    np.testing.assert_array_equal(edited.noise.array, first.noise.array)
    assert run("decode", "e.h5", "-o", "e.npy")[0] == 0
    np.testing.assert_array_equal(np.load("e.npy"), codec.decode(edited))
    random_noise = ("--random-noise", "-o", "r.npy")
    assert run("edit", inverted[0], *random_noise)[0] == 0
    expected = codec.decode(combine(first))
    np.testing.assert_array_equal(np.load("r.npy"), expected)
    status, stdout, _ = run("compare", *inverted, "-o", "c.npy")
    assert status == 0 and "first, noise of second" in stdout
    compared = np.load("c.npy")
    assert compared.shape == (FRAMES, HEIGHT, 6 * WIDTH, 3)
    # White is 30 levels.
    grey = np.minimum(255 / 30 * spread(codec, first), 255)
    np.testing.assert_allclose(compared[:, :, 5 * WIDTH :, 1], grey, atol=0.51)
    assert np.any(grey > 1)
    # Pixels keep their shape, and frames their times.
    times = np.cumsum([0, 40, 30, 35, 90, 33, 34, 200]) / 1000
    wide = dataclasses.replace(first, pixel_aspect=(4, 3), times=times)
    wide.save("wide.h5")
    assert run("compare", "wide.h5", inverted[1], "-o", "c.mp4")[0] == 0
    np.testing.assert_allclose(shown("c.mp4"), times, atol=1e-3)
    with VideoReader("c.mp4") as reader:
        assert reader.pixel_aspect == fractions.Fraction(4, 3)


def test_errors_leave_nothing(run, preset, inverted, tmp_path):
    assert run("encode", "0.npy", "-o", "plain.h5", "--preset", preset)[0] == 0
    for arguments, message in (
        (("edit", inverted[0], "--noise", "plain.h5"), "with --random-noise. Received"),
        (("edit", "plain.h5"), "with --random-noise. Received: path=plain.h5"),
        (("compare", inverted[0], "plain.h5"), "Received: path=plain.h5"),
        (("edit", *inverted[:1], "--noise", "0.h5", "--random-noise"), "--noise or"),
        (("interpolate", inverted[0], "none.h5"), "there is no such file"),
        (("invert", "0.npy", "--preset", "none"), "There is no such preset"),
        (("compare", *inverted), "A video is written as"),
    ):
        # `compare` writes no latents.
        suffix = "h5" if "A video" in message or arguments[0] == "invert" else "npy"
        output = tmp_path / f"out.{suffix}"
        assert_user_error(run(*arguments, "-o", output), message)
        assert not output.exists()
    assert_user_error(run("edit", inverted[0], "-o", inverted[0]), "OUT must not be ")
