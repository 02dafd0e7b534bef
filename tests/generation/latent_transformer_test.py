import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.generation import TRANSFORMERS, LatentTransformer
from keras_regen.layers import latent_transformer_block
from tests.models.conftest import awaken
from tests.test_case import random


def make_inputs(batch=2, frames=4, rows=2, columns=3, **condition):
    return {
        "latents": random(batch, frames, rows, columns, 8),
        "timestep": np.abs(random(batch, frames, seed=1)),
        "times": np.tile(np.arange(frames, dtype="float32"), (batch, 1)),
        **condition,
    }


def text(length=5, batch=2):
    mask = np.zeros((batch, length), bool)
    mask[0, :3], mask[1, :2] = True, True
    return {"text": random(batch, length, 12, seed=2), "text_mask": mask}


def predict(transformer, inputs):
    return ops.convert_to_numpy(transformer(inputs))


@pytest.fixture(scope="module")
def transformer():
    return awaken(LatentTransformer(units=32, depth=2, num_heads=2, text_channels=12))


def test_norms_scale_queries_and_keys_before_they_are_rotated(monkeypatch):
    model = awaken(LatentTransformer(units=32, depth=1, num_heads=2, text_channels=12))
    block = model.get_layer("block_0")
    for seed, name in enumerate(("query", "key", "text_query", "text_key")):
        scale = getattr(block, f"{name}_norm").scale
        scale.assign(1 + random(*scale.shape, seed=seed))
    inputs = make_inputs(**text())
    found = predict(model, inputs)
    monkeypatch.setattr(
        latent_transformer_block,
        "normalize_queries_and_keys",
        lambda query_norm, key_norm, query, key, **_: (
            query_norm(query),
            key_norm(key),
        ),
    )
    np.testing.assert_allclose(found, predict(model, inputs), atol=1e-5)


def test_any_shape(transformer):
    for size in ((1, 2, 1, 1), (2, 6, 3, 2)):
        inputs = make_inputs(*size, **text(batch=2))
        inputs = {name: x[: size[0]] for name, x in inputs.items()}
        assert predict(transformer, inputs).shape == (*size, 8)


def test_patches():
    model = awaken(LatentTransformer(units=32, depth=2, num_heads=2, patch_size=2))
    inputs = make_inputs(rows=4, columns=2)
    base = predict(model, inputs)
    assert base.shape == (2, 4, 4, 2, 8)
    # Latents of one patch are in one token, each in its place.
    for row, column in ((0, 0), (0, 1), (3, 1)):
        latents = inputs["latents"].copy()
        latents[:, :, row, column] += 1.0
        changed = predict(model, {**inputs, "latents": latents})
        assert np.abs(changed - base).max(axis=(0, 1, 2, 3)).min() > 1e-4
    half = predict(model, {**inputs, "latents": inputs["latents"][:, :, :2]})
    assert half.shape == (2, 4, 2, 2, 8)


def test_only_distances_in_time_matter(transformer):
    inputs = make_inputs(**text())
    here = predict(transformer, inputs)
    later = predict(transformer, {**inputs, "times": inputs["times"] + 40})
    slower = predict(transformer, {**inputs, "times": 2 * inputs["times"]})
    np.testing.assert_allclose(later, here, atol=1e-4)
    assert np.abs(slower - here).max() > 1e-3


def test_half_precision_tells_late_times_apart():
    half = LatentTransformer(
        units=32, depth=2, num_heads=2, text_channels=12, dtype="mixed_bfloat16"
    )
    half, inputs = awaken(half), make_inputs(**text())
    here = predict(half, inputs)
    later = predict(half, {**inputs, "times": inputs["times"] + 10_000})
    np.testing.assert_allclose(later, here, atol=0.03 * np.abs(here).max())


def test_rows_and_columns_matter(transformer):
    inputs = make_inputs(**text())
    turned = {**inputs, "latents": inputs["latents"].swapaxes(2, 3)}
    difference = predict(transformer, turned).swapaxes(2, 3) - predict(
        transformer, inputs
    )
    assert np.abs(difference).max() > 1e-3


def test_content_and_motion_are_different_inputs(transformer):
    inputs = make_inputs(frames=2, **text())
    swapped = {
        **inputs,
        "latents": inputs["latents"][:, ::-1],
        "times": inputs["times"][:, ::-1],
        "timestep": inputs["timestep"][:, ::-1],
    }
    difference = predict(transformer, swapped)[:, ::-1] - predict(transformer, inputs)
    assert np.abs(difference).max() > 1e-3


def test_each_latent_frame_has_its_own_time(transformer):
    inputs = make_inputs(**text())
    timestep = inputs["timestep"].copy()
    timestep[0, 1] = 0.9
    difference = predict(transformer, {**inputs, "timestep": timestep}) - predict(
        transformer, inputs
    )
    assert np.abs(difference[0]).max() > 1e-3
    assert np.abs(difference[1]).max() < 1e-5


def test_tokens_that_do_not_count(transformer):
    inputs = make_inputs(**text())
    expected = predict(transformer, inputs)
    other = inputs["text"] + 5 * ~inputs["text_mask"][..., None]
    other = np.pad(other, [(0, 0), (0, 3), (0, 0)], constant_values=7.0)
    mask = np.pad(inputs["text_mask"], [(0, 0), (0, 3)])
    padded = {**inputs, "text": other.astype("float32"), "text_mask": mask}
    np.testing.assert_allclose(predict(transformer, padded), expected, atol=1e-5)
    without = {**inputs, "text_mask": np.zeros_like(inputs["text_mask"])}
    assert np.abs(predict(transformer, without) - expected).max() > 1e-3


def test_half_precision_and_windows():
    inputs = make_inputs(rows=4, columns=4, label=np.array([1, 3], "int32"))
    arguments = dict(units=32, depth=2, num_heads=2, num_labels=3)
    plain = awaken(LatentTransformer(**arguments))
    expected = predict(plain, inputs)
    half = LatentTransformer(**arguments, dtype="mixed_bfloat16")
    half.set_weights(plain.get_weights())
    np.testing.assert_allclose(predict(half, inputs), expected, atol=0.2)
    whole = LatentTransformer(**arguments, window=(None, 4, 4), remat=True)
    whole.set_weights(plain.get_weights())
    np.testing.assert_allclose(predict(whole, inputs), expected, atol=1e-5)
    windows = LatentTransformer(**arguments, window=(None, 2, 2))
    windows.set_weights(plain.get_weights())
    assert np.abs(predict(windows, inputs) - expected).max() > 1e-3


def test_it_is_saved_whole(tmp_path):
    model = awaken(
        LatentTransformer(
            *(8, 32, 1, 2), num_labels=3, window=(None, 2, 2), dtype="mixed_bfloat16"
        )
    )
    model.save(tmp_path / "transformer.keras")
    loaded = keras.saving.load_model(tmp_path / "transformer.keras")
    assert loaded.get_config() == model.get_config()
    inputs = make_inputs(label=np.array([1, 3], "int32"))
    np.testing.assert_array_equal(predict(loaded, inputs), predict(model, inputs))


def test_architectures():
    assert list(TRANSFORMERS) == ["nano", "tiny", "small", "base", "paper"]
    nano = LatentTransformer.from_architecture("nano", depth=1, num_labels=2)
    assert (nano.units, nano.depth, nano.num_labels) == (128, 1, 2)
    config = nano.get_config()
    assert LatentTransformer.from_config(config).get_config() == config
    with pytest.raises(ValueError, match="sizes are nano.*Received: name='huge'"):
        LatentTransformer.from_architecture("huge")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"units": 40}, "multiple of 16 times"),
        ({"depth": 0}, "`depth` must be"),
        ({"text_channels": 8, "num_labels": 2}, "not both"),
        ({"num_labels": 0}, "`num_labels` must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LatentTransformer(**{"units": 64, "num_heads": 2, **arguments})
