import numpy as np
import pytest
from keras import ops

from keras_regen.models import DiTDecoder
from tests.models.conftest import awaken
from tests.test_case import random

SMALL = {"units": 16, "depth": 2, "num_heads": 2, "siren_features": 8}
CONDITIONINGS = ["content_aware", "in_context"]


def inputs(frames=5, height=16, width=24, batch=1):
    return {
        "video": random(batch, frames, height, width, 3),
        "timestep": np.full(batch, 0.7, "float32"),
        "latents": random(batch, 2, height // 8, width // 8, 8, seed=1),
        "times": np.tile(np.arange(frames, dtype="float32"), (batch, 1)),
    }


def decode(decoder, x):
    return ops.convert_to_numpy(decoder(x, training=False))


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_any_shape(conditioning):
    decoder = DiTDecoder(4, conditioning=conditioning, **SMALL)
    for shape in ((1, 8, 8), (9, 32, 8), (2, 8, 40)):
        x = inputs(*shape)
        assert decode(decoder, x).shape == x["video"].shape


def test_windows_and_every_other_block_shifted():
    decoder = DiTDecoder(4, **SMALL, window=(None, 2, 1))
    blocks = [layer for layer in decoder.layers if layer.name.startswith("block_")]
    assert [block.shifted for block in blocks] == [False, True]
    copy = DiTDecoder.from_config(decoder.get_config())
    copy.set_weights(decoder.get_weights())
    # Windows that hold everything are full attention.
    whole = DiTDecoder(4, **SMALL, window=(8, 8, 8))
    full = DiTDecoder(4, **SMALL)
    for model in (decoder, whole, full):
        model.set_weights(awaken(copy).get_weights())
    x = inputs(height=24)
    np.testing.assert_allclose(decode(decoder, x), decode(copy, x), atol=1e-6)
    np.testing.assert_allclose(decode(whole, x), decode(full, x), atol=1e-5)
    assert np.abs(decode(decoder, x) - decode(full, x)).max() > 1e-4


@pytest.mark.parametrize(
    "kwargs",
    [
        {"window": (8, 8)},
        {"window": (None, 0, 8)},
        {"window": (None, 8, 8), "conditioning": "in_context"},
    ],
)
def test_bad_windows(kwargs):
    with pytest.raises(ValueError, match="Received: window="):
        DiTDecoder(4, **SMALL, **kwargs)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
@pytest.mark.parametrize("changed", ["video", "timestep", "latents", "times"])
def test_every_input_matters(conditioning, changed):
    decoder = awaken(DiTDecoder(4, conditioning=conditioning, **SMALL))
    x = inputs()
    expected = decode(decoder, x)
    x[changed] = x[changed] * 0.5 + 0.1
    assert np.abs(decode(decoder, x) - expected).max() > 1e-4


def test_only_the_latents_give_position():
    # Swap two locations in the video and in the latents: the output swaps with them.
    decoder = awaken(DiTDecoder(4, **SMALL))
    x = inputs(height=8, width=16)
    swapped = {
        **x,
        "video": np.roll(x["video"], 8, axis=3),
        "latents": np.roll(x["latents"], 1, axis=3),
    }
    np.testing.assert_allclose(
        decode(decoder, swapped), np.roll(decode(decoder, x), 8, axis=3), atol=1e-5
    )


def test_in_context_knows_position():
    decoder = awaken(DiTDecoder(4, conditioning="in_context", **SMALL))
    x = inputs(height=8, width=16)
    swapped = {
        **x,
        "video": np.roll(x["video"], 8, axis=3),
        "latents": np.roll(x["latents"], 1, axis=3),
    }
    rolled = np.roll(decode(decoder, x), 8, axis=3)
    assert np.abs(decode(decoder, swapped) - rolled).max() > 1e-3


def test_bad_arguments():
    with pytest.raises(ValueError, match="Received: conditioning=rope"):
        DiTDecoder(4, conditioning="rope")
    with pytest.raises(ValueError, match="Received: units=16, num_heads=3"):
        DiTDecoder(4, units=16, num_heads=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'unit'"):
        DiTDecoder(4, unit=16)
