import pytest

from keras_regen.models import ARCHITECTURES
from keras_regen.models.architectures import CONV_DECODERS
from keras_regen.training.codec_config import CHOICES
from tests.video.videos import moving_ramp, write

TOY = {
    "encoder": {
        "stem_patch_size": 4,
        "widths": (8,),
        "num_blocks": (1,),
        "kernel_sizes": ((1, 3, 3), (3, 1, 1)),
    },
    "decoder": {"units": 16, "depth": 2, "num_heads": 2, "siren_features": 8},
}


@pytest.fixture(autouse=True)
def toy_architecture(monkeypatch):
    """Adds an architecture named `toy` that compiles in seconds."""
    monkeypatch.setitem(ARCHITECTURES, "toy", TOY)
    monkeypatch.setitem(CONV_DECODERS, "toy", {4: ((8,), (1,))})
    monkeypatch.setitem(CHOICES, "size", (*CHOICES["size"], "toy"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Returns a folder of three short videos."""
    folder = tmp_path_factory.mktemp("videos")
    for i, frames in enumerate((12, 9, 20)):
        write(folder / f"{i}.mp4", moving_ramp(frames + i, 32, 40)[i:])
    return folder
