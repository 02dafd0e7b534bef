import numpy as np
import pytest

from keras_regen.data.crop import Crop, Cropper
from keras_regen.video import open_access
from tests.video.videos import moving_ramp, read, rotate, write


def test_covers_and_keeps_aspect():
    assert Crop(64, 64).resized(128, 256) == (64, 128)
    assert Crop(64, 64, zoom=1.5).resized(128, 256) == (96, 192)
    # A frame is enlarged only to cover the crop.
    assert Crop(64, 64, zoom=9.0).resized(128, 256) == (128, 256)
    assert Crop(64, 64, zoom=9.0).resized(32, 128) == (64, 256)
    assert Crop(64, 64).resized(63, 63) == (64, 64)


@pytest.mark.parametrize("name", ["video.mp4", "video.npy"])
def test_resizing_to_half_averages(tmp_path, name):
    video = moving_ramp(1, 64, 96).repeat(45, axis=0)
    path = write(tmp_path / name, video)
    access = open_access(path)
    [frame] = access.frames([3], access.index())
    result = Cropper()(frame, Crop(32, 32)).astype(int)
    mean = video[3].reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))[:, 8:40]
    assert np.abs(result - mean).mean() < 3
    access.close()


def test_antialiased():
    stripes = np.zeros((64, 64, 3), "uint8")
    stripes[:, ::2] = 255
    result = Cropper()(stripes, Crop(16, 16)).astype(int)
    assert np.abs(result - 127.5).max() < 25


def test_turned_before_it_is_cut(tmp_path):
    path = rotate(write(tmp_path / "video.mp4", moving_ramp(3, 32, 64)))
    access = open_access(path)
    [frame] = access.frames([1], access.index())
    result = Cropper()(frame, Crop(32, 32, top=0.0)).astype(int)
    assert np.abs(result - read(path)[1][:32]).mean() < 2
    half = Cropper()(frame, Crop(32, 16)).astype(int)
    assert half.shape == (32, 16, 3)
    access.close()
