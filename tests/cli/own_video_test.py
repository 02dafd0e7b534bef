"""A phone's video, through the command line: uneven times, sound and wide pixels."""

import fractions

import av
import keras
import numpy as np
import pytest

from keras_regen.latents import Latents
from keras_regen.video import VideoReader
from tests.video.media import (
    FLASH,
    LAST,
    UNEVEN,
    click_and_flash,
    make,
    shown,
)
from tests.video.videos import rotate

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on every backend"
)
ENDS = np.append(UNEVEN, UNEVEN[-1] + LAST)
WIDE = fractions.Fraction(4, 3)


@pytest.fixture
def phone(tmp_path):
    return rotate(make(tmp_path / "phone.mov", sound="aac", aspect=WIDE))


def test_reconstruct(run, preset, phone):
    status, _, stderr = run("reconstruct", phone, "--preset", preset, "-o", "o.mp4")
    assert (status, stderr) == (0, "")
    np.testing.assert_allclose(shown("o.mp4"), ENDS, atol=1e-3)
    click, flash = click_and_flash("o.mp4")
    assert abs(click - UNEVEN[FLASH]) < 2e-3 and abs(flash - click) < 2e-3
    with VideoReader("o.mp4") as reader:
        # Upright, and side by side.
        assert (reader.height, reader.width) == (48, 64)
        assert reader.pixel_aspect == 1 / WIDE


def test_reconstruct_at_another_rate_has_no_sound(run, preset, phone, caplog):
    options = ("--preset", preset, "-o", "o.mp4", "--input-fps", 10)
    assert run("reconstruct", phone, *options)[0] == 0
    [record] = caplog.records
    assert "it would not be in step, since --input-fps is 10" in record.getMessage()
    assert not av.open("o.mp4").streams.audio
    np.testing.assert_allclose(shown("o.mp4"), np.arange(len(ENDS)) / 10, atol=1e-3)


def test_encode_and_decode(run, preset, phone, caplog):
    assert run("encode", phone, "--preset", preset)[0] == 0
    latents = Latents.load("phone.h5")
    assert latents.pixel_aspect == (3, 4)
    np.testing.assert_allclose(latents.times, ENDS, atol=1e-3)
    words = " ".join(run("info", "phone.h5")[1].split())
    assert "pixel aspect 3, 4" in words and "frame rate variable" in words

    status, _, stderr = run("decode", "phone.h5", "-o", "o.mp4", "--audio-from", phone)
    assert (status, stderr) == (0, "")
    np.testing.assert_allclose(shown("o.mp4"), ENDS, atol=1e-3)
    assert abs(click_and_flash("o.mp4")[0] - UNEVEN[FLASH]) < 2e-3

    # Frames 2 to 10 start nearest.
    part = ("--start", UNEVEN[2] + 0.01, "--end", UNEVEN[11] - 0.01)
    run("decode", "phone.h5", "-o", "p.mkv", *part, "--audio-from", phone)
    np.testing.assert_allclose(shown("p.mkv"), ENDS[2:12] - ENDS[2], atol=2e-3)
    click = click_and_flash("p.mkv")[0]
    assert abs(click - (UNEVEN[FLASH] - UNEVEN[2])) < 2e-3

    options = ("--audio-from", phone, "--speed", 0.5)
    assert not caplog.records
    assert run("decode", "phone.h5", "-o", "s.mp4", *options)[0] == 0
    [record] = caplog.records
    assert "The video has no sound: it would not be in step" in record.getMessage()
    np.testing.assert_allclose(shown("s.mp4")[::2], 2 * ENDS, atol=2e-3)


def test_a_file_without_sound_is_refused_at_once(run, preset, phone):
    run("encode", phone, "--preset", preset)
    options = ("-o", "o.mp4", "--audio-from", "nothing.mp4")
    status, _, stderr = run("decode", "phone.h5", *options)
    assert status == 2
    assert "Cannot read the sound: there is no such file" in stderr
