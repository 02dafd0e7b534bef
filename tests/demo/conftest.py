import pytest

from keras_regen.demo import Regenerator
from tests.generation.conftest import make_text_generator
from tests.models.conftest import awaken, make_regen
from tests.video.videos import moving_ramp, write

K = 4


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("presets") / "toy"
    awaken(make_regen(K)).save_to_preset(directory)
    return str(directory)


@pytest.fixture(scope="module")
def generators(preset, tmp_path_factory):
    """A directory like that of the bundled presets, with a generator, `toy_text`."""
    toy = make_text_generator(preset, 16, 32, 7, 10, window_chunks=2, num_steps=1)
    directory = tmp_path_factory.mktemp("bundled")
    toy.save_to_preset(directory / "toy_text", {"examples": ["a two", "a three"]})
    return directory


@pytest.fixture
def regenerator(preset, generators, monkeypatch):
    monkeypatch.setattr("keras_regen.bundled.PRESETS", generators)
    return Regenerator([preset], max_seconds=1.0, max_side=48)


@pytest.fixture
def clip(tmp_path):
    """7 frames of 24x32 pixels, at 10 frames/s."""
    return write(tmp_path / "ramp.mp4", moving_ramp(7, 24, 32), fps=10)
