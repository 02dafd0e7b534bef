import importlib.util

import keras
import numpy as np
import pytest

from keras_regen.metrics import VideoSwinFeatures
from keras_regen.metrics import video_swin_features as module

keras_cv = pytest.importorskip("keras_cv")
preset_utils = pytest.importorskip("keras_cv.src.utils.preset_utils")

TOY = {
    "embed_dim": 4,
    "depths": [2],
    "num_heads": [1],
    "window_size": [8, 7, 7],
}
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A network, its directory in KerasCV's format and its file of weights."""
    keras.utils.set_random_seed(0)
    network = keras_cv.models.VideoSwinBackbone(input_shape=(16, 224, 224, 3), **TOY)
    folder = tmp_path_factory.mktemp("swin") / "toy"
    preset_utils.save_to_preset(network, folder)
    return network, folder, folder / "model.weights.h5"


@pytest.mark.filterwarnings("ignore:Layer 'video_swin_window_attention")
def test_normalises_and_averages(toy):
    network, folder, _ = toy
    video = np.random.default_rng(0).integers(0, 256, (1, 16, 224, 224, 3), "uint8")
    maps = network.predict_on_batch(((video - MEAN) / STD).astype("float32"))
    expected = np.mean(maps, axis=(1, 2, 3))
    features = VideoSwinFeatures(folder)
    assert features.name == "videoswin-toy"
    np.testing.assert_allclose(features(video), expected, atol=2e-4)
    assert np.ptp(expected) > 0.1


def test_a_file_of_weights_and_other_lengths(toy, monkeypatch):
    network, folder, path = toy
    monkeypatch.setattr(module, "ARCHITECTURE", TOY)
    features = VideoSwinFeatures(path, num_frames=15, batch_size=1)
    assert features.identity == VideoSwinFeatures(path).identity
    assert features.identity != VideoSwinFeatures(folder).identity
    loaded = features._backbone(15).get_weights()
    for one, other in zip(loaded, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert features._backbone(17).input_shape == (None, 17, 224, 224, 3)
    config = features.get_config()
    assert VideoSwinFeatures.from_config(config).get_config() == config


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="at least 15 frames.*num_frames=14"):
        VideoSwinFeatures(num_frames=14)
    with pytest.raises(ValueError, match="KerasCV cannot load.*Received: weights="):
        VideoSwinFeatures(tmp_path, num_frames=16)
    with pytest.raises(ValueError, match="needs at least 15 frames"):
        VideoSwinFeatures()(np.zeros((1, 14, 8, 8, 3), "uint8"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"TensorFlow.*keras-regen\[cv\]"):
        VideoSwinFeatures()
