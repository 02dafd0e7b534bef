"""SavedModels as parts of other models."""

import keras
import numpy as np
import pytest

from tests.export.conftest import K, random_video

tf = pytest.importorskip("tensorflow")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TFSMLayer is TensorFlow's"
)
class TestTFSMLayer:
    def test_in_a_functional_model(self, saved_model, regen):
        video = keras.Input((None, None, None, 3))
        latents = keras.layers.TFSMLayer(saved_model, call_endpoint="encode")(video)
        outputs = keras.layers.TFSMLayer(saved_model, call_endpoint="decode")(
            latents, seed=3, num_steps=2, num_frames=K + 1
        )
        model = keras.Model(video, [latents, outputs])
        chunks = random_video(2, K + 1, 16, 24, 3)
        latents, decoded = model.predict(chunks, verbose=0)
        np.testing.assert_allclose(latents, regen.encode(chunks), atol=1e-5)
        expected = regen.decode(latents, seed=3, num_steps=2)
        np.testing.assert_allclose(decoded, expected, atol=1e-4)

    def test_the_default_endpoint_encodes(self, saved_model, regen):
        chunks = random_video(1, 1, 8, 8, 3)
        latents = keras.layers.TFSMLayer(saved_model)(chunks)
        np.testing.assert_allclose(latents, regen.encode(chunks), atol=1e-5)


def test_in_a_tf_keras_model(saved_model, regen):
    tf_keras = pytest.importorskip("tf_keras")

    class Encoder(tf_keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.served = tf.saved_model.load(str(saved_model))

        def call(self, video):
            return self.served.encode(video)

    video = tf_keras.Input((K + 1, 16, 24, 3))
    pooled = tf_keras.layers.GlobalAveragePooling3D()(Encoder()(video))
    model = tf_keras.Model(video, pooled)
    chunks = random_video(3, K + 1, 16, 24, 3)
    expected = regen.encode(chunks).mean((1, 2, 3))
    np.testing.assert_allclose(model.predict(chunks, verbose=0), expected, atol=1e-5)
