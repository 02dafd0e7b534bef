import numpy as np
import pytest

from keras_regen.generation import VideoGenerator
from keras_regen.video import VideoReader
from tests.cli.conftest import assert_user_error
from tests.generation.conftest import make_text_generator


@pytest.fixture(scope="module")
def generator(preset, tmp_path_factory):
    toy = make_text_generator(preset, 16, 24, 7, 12.5, window_chunks=2, num_steps=2)
    directory = tmp_path_factory.mktemp("generators") / "toy_text"
    toy.save_to_preset(directory)
    return directory


def test_text_to_video(run, generator, tmp_path):
    status, stdout, stderr = run("generate", generator, "a two", "--seed", 3)
    assert (status, stderr) == (0, "")
    assert "7/7 frames" in stdout and "generated.mp4" in stdout
    with VideoReader(tmp_path / "generated.mp4") as reader:
        assert (reader.fps, reader.height, reader.width) == (12.5, 16, 24)
        assert len(list(reader)) == 7


def test_options(run, generator, video, tmp_path):
    words = "generate", generator, "a two", "-o", "out.npy", "--video", video
    sampling = "--steps", 1, "--guidance", 2, "--time-shift", 2
    words = *words, "--precision", "mixed_bfloat16"
    status, _, stderr = run(*words, *sampling, "--frames", 12, "--decoding-steps", 2)
    assert (status, stderr) == (0, "")
    whole = np.load(tmp_path / "out.npy")
    loaded = VideoGenerator.from_preset(generator, dtype="mixed_bfloat16")
    expected = loaded.generate(
        "a two",
        video=video,
        num_frames=12,
        num_steps=1,
        guidance=2.0,
        time_shift=2.0,
        decoding_steps=2,
    )
    np.testing.assert_array_equal(whole, expected)


@pytest.mark.parametrize(
    "words, message",
    [
        (["a four"], "Received: 'a four'"),
        (["a two", "--size", "16x"], "WIDTHxHEIGHT in pixels"),
        (["--label", "3"], "conditioned by text, text_mask"),
        (["a two", "--label", "3"], "not both. Received: prompt='a two', label='3'"),
        (["a two", "--video", "missing.mp4"], "missing.mp4"),
        (["a two", "-o", "in.mp4", "--video", "in.mp4"], "OUT must not be in.mp4"),
        (["-o", "in.mp4", "--image", "in.mp4", "--overwrite"], "must not be in.mp4"),
        (["-o", ".", "--keyframes", "."], "OUT must not be ."),
        (["a two", "--codec", "regen_huge"], "There is no such preset"),
        (["a two", "--frames", str(2**40)], "`num_frames` must be"),
    ],
)
def test_user_errors(run, generator, video, words, message):
    assert_user_error(run("generate", generator, *words), message)


@pytest.mark.parametrize(
    "output, message",
    [
        ("out.avi", "A video is written as .gif"),
        ("nowhere/out.mp4", "No such file or directory"),
        (".", "the directory is not empty"),
    ],
)
def test_the_output_is_checked_before_a_preset_is_loaded(run, video, output, message):
    assert_user_error(run("generate", "hf://user/none", "-o", output), message)


def test_a_codec_is_no_generator(run, preset):
    assert_user_error(run("generate", preset), "Expected the preset of a generator")
