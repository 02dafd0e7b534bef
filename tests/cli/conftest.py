import numpy as np
import pytest

from keras_regen.cli import main
from tests.generation.conftest import make_generator
from tests.models.conftest import awaken, make_regen
from tests.video.videos import write

K = 4
FRAMES, HEIGHT, WIDTH = 7, 18, 26
METADATA = {
    "description": "A toy",
    "licence": "Apache-2.0",
    "training": {"data": ["clouds", "rain"], "steps": 3, "learning_rate": 1e-3},
    "scores": {
        "clouds": {"chunks": 5, "one_step": {"psnr": 21.23456, "ssim": 0.5}},
        "mean": {"one_step": {"psnr": 20.0, "ssim": 0.25}},
    },
}


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("presets") / "toy"
    awaken(make_regen(K)).save_to_preset(directory, METADATA)
    return directory


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("generators") / "toy_generator"
    metadata = {"description": "A toy that generates", "codec": "regen_small_8x8x8"}
    make_generator().save_to_preset(directory, metadata)
    return directory


@pytest.fixture
def video(tmp_path):
    return write_noise(tmp_path / "in.mp4")


@pytest.fixture(scope="module")
def encoded(preset, tmp_path_factory):
    """Latents that `keras-regen encode` made of `video`; it is as slow as a model."""
    directory = tmp_path_factory.mktemp("latents")
    video, latents = write_noise(directory / "in.mp4"), directory / "in.h5"
    with pytest.raises(SystemExit) as end:
        main(["encode", str(video), "-o", str(latents), "--preset", str(preset)])
    assert not end.value.code
    return latents


@pytest.fixture(autouse=True)
def working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run(capsys):
    """Runs the command line: its status, stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        return caught.value.code or 0, *capsys.readouterr()

    return run


def write_noise(path):
    rng = np.random.default_rng(0)
    return write(path, rng.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), "uint8"), 12.5)


def assert_user_error(result, message):
    status, _, stderr = result
    assert status == 2
    assert message in stderr
    assert stderr.startswith("keras-regen: ")
    assert stderr.count("\n") == 1
