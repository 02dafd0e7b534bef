import pytest

from keras_regen.demo import Regenerator
from tests.models.conftest import awaken, make_regen
from tests.video.videos import moving_ramp, write

K = 4


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("presets") / "toy"
    awaken(make_regen(K)).save_to_preset(directory)
    return str(directory)


@pytest.fixture
def regenerator(preset):
    return Regenerator([preset], max_seconds=1.0, max_side=48)


@pytest.fixture
def clip(tmp_path):
    """7 frames of 24x32 pixels, at 10 frames/s."""
    return write(tmp_path / "ramp.mp4", moving_ramp(7, 24, 32), fps=10)
