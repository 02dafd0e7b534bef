import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.metrics import Features, I3DFeatures, KerasFeatures
from keras_regen.metrics import features as module

RNG = np.random.default_rng(0)
VIDEO = RNG.integers(0, 256, (5, 3, 6, 8, 3), "uint8")


def mean_colour(**kwargs):
    return Features(lambda clips: clips, "mean-colour", **kwargs)


class TestFeatures:
    def test_averages_the_axes_in_between(self):
        expected = (VIDEO / 127.5 - 1).mean(axis=(1, 2, 3))
        features = mean_colour(batch_size=2)
        assert features.num_features is None
        output = features(VIDEO)
        assert output.dtype == "float32" and features.num_features == 3
        np.testing.assert_allclose(output, expected, atol=1e-6)
        np.testing.assert_allclose(features(VIDEO / 127.5 - 1), expected, atol=1e-6)

    def test_value_range(self):
        output = mean_colour(value_range=(0, 255))(VIDEO)
        np.testing.assert_allclose(output, VIDEO.mean(axis=(1, 2, 3)), rtol=1e-5)

    def test_resizes_between_pixel_centres(self):
        seen = []
        features = Features(
            lambda clips: seen.append(ops.convert_to_numpy(clips)) or clips,
            "seen",
            size=(9, 3),
            value_range=(0, 255),
        )
        features(VIDEO)
        (clips,) = seen
        assert clips.shape == (5, 3, 9, 3, 3)
        expected = resize(resize(VIDEO.astype("float64"), 9, axis=2), 3, axis=3)
        np.testing.assert_allclose(clips, expected, atol=1e-3)

    def test_batches_keep_one_shape(self):
        seen = []
        features = Features(
            lambda clips: seen.append(len(clips)) or clips, "seen", batch_size=2
        )
        assert features(VIDEO).shape == (5, 3)
        assert seen == [2, 2, 2]

    @pytest.mark.parametrize(
        ("video", "message"),
        [
            (VIDEO[0], r"must have shape \(B, T, H, W, 3\)"),
            (VIDEO.astype("int32"), "must be uint8, or float"),
            (VIDEO[:, :1], "mean-colour needs at least 2 frames"),
        ],
    )
    def test_errors(self, video, message):
        with pytest.raises(ValueError, match=f"{message}.*Received: "):
            mean_colour(min_frames=2)(video)

    def test_functions_that_do_not_fit(self):
        with pytest.raises(ValueError, match="must return 4 features.*Received: "):
            mean_colour(num_features=4)(VIDEO)
        with pytest.raises(ValueError, match="for 5 clips.*Received: "):
            Features(lambda clips: clips[:1], "first")(VIDEO)


def resize(array, size, axis):
    """Linear interpolation, edges repeated, by NumPy."""
    old = array.shape[axis]
    centres = (np.arange(size) + 0.5) * old / size - 0.5
    return np.apply_along_axis(
        lambda line: np.interp(centres, np.arange(old), line), axis, array
    )


class TestI3DFeatures:
    @pytest.fixture
    def network(self, monkeypatch):
        """A cheap network of the same shapes."""
        video = keras.Input((None, 224, 224, 3))
        colours = keras.layers.GlobalAveragePooling3D()(video)
        network = keras.Model(video, keras.layers.Dense(400)(colours))
        monkeypatch.setattr(module.I3D, "from_weights", lambda path: network)
        return network

    def test_are_the_logits(self, network):
        features = I3DFeatures(batch_size=2)
        video = RNG.integers(0, 256, (3, 9, 224, 224, 3), "uint8")
        logits = network.predict_on_batch((video / 127.5 - 1).astype("float32"))
        np.testing.assert_allclose(features(video), logits, atol=1e-5)
        assert features.num_features == 400

    def test_other_sizes(self, network):
        # Resizing does not change a flat video.
        video = np.full((1, 10, 30, 20, 3), 200, "uint8")
        whole = np.full((1, 10, 224, 224, 3), 200, "uint8")
        features = I3DFeatures()
        np.testing.assert_allclose(features(video), features(whole), atol=1e-5)

    def test_short_clips(self, network):
        with pytest.raises(ValueError, match="needs at least 9 frames.*Received: "):
            I3DFeatures()(np.zeros((1, 8, 224, 224, 3), "uint8"))

    def test_config(self, network):
        config = keras.saving.serialize_keras_object(I3DFeatures("here", batch_size=3))
        # It reads a file, which a file that names it must not decide.
        with pytest.raises(TypeError, match="Could not locate class 'I3DFeatures'"):
            keras.saving.deserialize_keras_object(config)
        features = keras.saving.deserialize_keras_object(
            config, custom_objects={"I3DFeatures": I3DFeatures}
        )
        assert (features.weights, features.batch_size) == ("here", 3)


class TestKerasFeatures:
    @pytest.fixture
    def model(self):
        return keras.Sequential(
            [keras.Input((3, 4, 4, 3)), keras.layers.Conv3D(7, (2, 3, 3))]
        )

    def test_pools_the_output_of_the_model(self, model):
        features = KerasFeatures(model, "toy", size=(4, 4), batch_size=2)
        output = features(VIDEO)
        assert output.shape == (5, 7)
        frames = ops.image.resize(
            (VIDEO / 127.5 - 1).reshape(15, 6, 8, 3).astype("float32"), (4, 4)
        )
        expected = model(ops.reshape(frames, (5, 3, 4, 4, 3)))
        expected = ops.convert_to_numpy(expected).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(output, expected, atol=1e-5)

    def test_config(self, model):
        features = KerasFeatures(model, "toy", size=(4, 4), min_frames=3)
        config = keras.saving.serialize_keras_object(features)
        again = keras.saving.deserialize_keras_object(config)
        again.model.set_weights(model.get_weights())
        np.testing.assert_allclose(again(VIDEO), features(VIDEO), atol=1e-6)
        assert again.get_config().keys() == features.get_config().keys()
        assert (again.name, again.size, again.min_frames) == ("toy", (4, 4), 3)

    def test_video_swin(self):
        keras_cv = pytest.importorskip("keras_cv")
        backbone = keras_cv.models.VideoSwinBackbone(
            input_shape=(4, 16, 16, 3),
            embed_dim=4,
            depths=[1],
            num_heads=[1],
            window_size=[2, 2, 2],
            patch_size=[2, 4, 4],
            include_rescaling=True,
        )
        features = KerasFeatures(
            backbone, "swin", size=(16, 16), min_frames=4, value_range=(0, 255)
        )
        video = RNG.integers(0, 256, (2, 4, 16, 16, 3), "uint8")
        maps = backbone.predict_on_batch(video.astype("float32"))
        expected = np.mean(maps, axis=(1, 2, 3))
        np.testing.assert_allclose(features(video), expected, atol=1e-4)
        assert np.ptp(expected, axis=0).max() > 0
