"""SavedModels as parts of other models."""

import re
import runpy

import keras
import numpy as np
import pytest

from tests.examples_test import EXAMPLES
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


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf_keras is TensorFlow's"
)
def test_in_a_tf_keras_model(saved_model, regen, monkeypatch, capsys):
    pytest.importorskip("tf_keras")
    monkeypatch.setattr("sys.argv", ["", str(saved_model), str(K)])
    names = runpy.run_path(str(EXAMPLES / "tf_keras_head.py"), run_name="__main__")
    accuracies = re.findall(r"val_accuracy: ([\d.]+)", capsys.readouterr().out)
    assert len(accuracies) == 5 and float(accuracies[-1]) > 0.75
    chunks = names["clips"][:2]
    latents = names["Encoder"](str(saved_model))(chunks).numpy()
    np.testing.assert_allclose(latents, regen.encode(chunks), atol=1e-5)
