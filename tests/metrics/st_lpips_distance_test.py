import importlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.metrics import STLPIPS, st_lpips
from keras_regen.metrics.st_lpips_network import BlurDownsample, STLPIPSNetwork
from tests.metrics.conftest import fill
from tests.metrics.images import REFERENCE, VIDEO

# The package has a function of the same name.
module = importlib.import_module("keras_regen.metrics.st_lpips_distance")

PUBLISHED = {
    # stlpips_pytorch 0.0.2: for the two images, then swapped and cropped.
    "alex": [0.01795096881687641, 0.015389153733849525],
    "vgg": [0.06651346385478973, 0.10414749383926392],
}


@pytest.fixture
def filled(monkeypatch):
    """Replaces the published network."""
    network = fill(STLPIPSNetwork("alex"))
    monkeypatch.setattr(module, "_network", lambda trunk, weights: network)
    return network


class TestFunction:
    @pytest.mark.parametrize("trunk", ["alex", "vgg"])
    def test_agrees_with_the_published_network(self, trunk, published_weights):
        path = published_weights(f"st-lpips-{trunk}")
        pairs = [(REFERENCE, VIDEO), (VIDEO[:21, :25], REFERENCE[:21, :25])]
        distances = [st_lpips(*pair, trunk, path) for pair in pairs]
        np.testing.assert_allclose(distances, PUBLISHED[trunk], atol=1e-6)

    def test_backends_agree_with_any_weights(self, filled):
        distance = st_lpips(REFERENCE, VIDEO)
        # Computed on PyTorch.
        assert distance == pytest.approx(0.004593918565660715, rel=1e-4)

    def test_one_distance_a_frame(self, filled):
        video = np.stack([REFERENCE, VIDEO, VIDEO]).reshape(3, 1, *VIDEO.shape)
        reference = video[:1].repeat(3, axis=0)
        distances = st_lpips(reference, video, batch_size=2)
        assert distances.shape == (3, 1) and distances.dtype == "float32"
        assert distances[0] == 0
        assert distances[1] == pytest.approx(distances[2], rel=1e-5)
        assert distances[1] == pytest.approx(float(st_lpips(REFERENCE, VIDEO)), 1e-5)
        assert st_lpips(reference[:0], video[:0]).shape == (0, 1)

    def test_float_as_uint8(self, filled):
        expected = float(st_lpips(REFERENCE, VIDEO))
        unit = st_lpips(REFERENCE / 127.5 - 1, VIDEO / 127.5 - 1)
        assert unit == pytest.approx(expected, rel=1e-5)

    def test_errors(self, filled):
        with pytest.raises(ValueError, match="must have the same shape.*Received: "):
            st_lpips(REFERENCE, VIDEO[:-1])
        with pytest.raises(ValueError, match="sides of at least 21.*Received: "):
            st_lpips(REFERENCE[:20], VIDEO[:20])
        with pytest.raises(ValueError, match="sides of at least 18.*Received: "):
            st_lpips(REFERENCE[:17], VIDEO[:17], "vgg")

    def test_unknown_trunk(self):
        with pytest.raises(ValueError, match="one of alex, vgg.*Received: .*resnet"):
            st_lpips(REFERENCE, VIDEO, "resnet")


class TestMetric:
    FRAMES = np.stack([[VIDEO, REFERENCE], [VIDEO[::-1], VIDEO[:, ::-1]]])
    REFERENCES = np.stack([[REFERENCE] * 2] * 2)

    def test_mean_over_frames(self, filled):
        expected = st_lpips(self.REFERENCES, self.FRAMES)
        metric = STLPIPS()
        metric.update_state(self.REFERENCES, self.FRAMES)
        assert float(metric.result()) == pytest.approx(expected.mean(), rel=1e-5)
        # All frames count equally, however they are split into videos.
        equal = self.REFERENCES.reshape(1, 4, *REFERENCE.shape)
        metric.update_state(equal, equal)
        assert float(metric.result()) == pytest.approx(expected.mean() / 2, rel=1e-5)

    def test_weights_of_frames_and_of_videos(self, filled):
        (a, b), (c, d) = st_lpips(self.REFERENCES, self.FRAMES)
        metric = STLPIPS()
        metric.update_state(self.REFERENCES, self.FRAMES, [3.0, 1.0])
        expected = (3 * a + 3 * b + c + d) / 8
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
        metric.reset_state()
        metric.update_state(self.REFERENCES, self.FRAMES, [[3.0, 1.0], [0.0, 1.0]])
        expected = (3 * a + b + d) / 5
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)

    def test_in_a_compiled_model(self, filled):
        model = keras.Sequential([keras.Input(VIDEO.shape), keras.layers.Identity()])
        model.compile(loss="mse", metrics=[STLPIPS()])
        frames = (np.stack([REFERENCE, VIDEO]) / 127.5 - 1).astype("float32")
        logs = model.evaluate(frames, frames[::-1], verbose=0, return_dict=True)
        expected = st_lpips(frames, frames[::-1]).mean()
        assert logs["st_lpips"] == pytest.approx(expected, rel=1e-4)

    def test_config(self, filled):
        metric = STLPIPS(weights="here.weights.h5", name="mine")
        config = keras.saving.serialize_keras_object(metric)
        # It reads a file, which a file that names it must not decide.
        with pytest.raises(TypeError, match="Could not locate class 'STLPIPS'"):
            keras.saving.deserialize_keras_object(config)
        again = keras.saving.deserialize_keras_object(
            config, custom_objects={"STLPIPS": STLPIPS}
        )
        assert again.get_config() == metric.get_config()

    def test_small_frames(self, filled):
        with pytest.raises(ValueError, match="sides of at least 21.*Received: "):
            STLPIPS().update_state(REFERENCE[:20], VIDEO[:20])


class TestNetwork:
    def test_blur_by_hand(self):
        # The blur and the reflection are separable.
        row = np.array([3.0, 1.0, 4.0, 1.0, 5.0], "float32")
        padded = np.pad(row, 2, mode="reflect")
        expected = np.convolve(padded, [0.25, 0.5, 0.25], "valid")[::2]
        images = (row[:, None] * row[None, :])[None, :, :, None]
        output = ops.convert_to_numpy(BlurDownsample()(images))[0, :, :, 0]
        np.testing.assert_allclose(output, np.outer(expected, expected), rtol=1e-6)
        symbolic = BlurDownsample()(keras.KerasTensor((2, 5, None, 7)))
        assert symbolic.shape == (2, 4, None, 7)

    def test_configuration(self):
        network = STLPIPSNetwork("vgg")
        assert network.count_params() == 14716160
        assert not network.trainable_variables
        again = STLPIPSNetwork.from_config(network.get_config())
        assert again.get_config() == network.get_config()

    def test_float32_under_every_policy(self, filled):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            network = STLPIPSNetwork("alex")
        finally:
            keras.config.set_dtype_policy(before)
        network.set_weights(filled.get_weights())
        frames = [image[None] / np.float32(127.5) - 1 for image in (REFERENCE, VIDEO)]
        np.testing.assert_array_equal(
            network.predict_on_batch(frames), filled.predict_on_batch(frames)
        )

    def test_missing_weights_are_an_error(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KERAS_REGEN_CACHE", str(tmp_path))
        with pytest.raises(
            ImportError,
            match="stlpips-pytorch==0.0.2 && .* metric-weights st-lpips-vgg",
        ):
            STLPIPSNetwork.from_weights("vgg")
