"""What the encoder and the decoders have in common."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.models import ConvDecoder, DiTDecoder, VideoEncoder
from tests.models.conftest import awaken
from tests.test_case import random

CONVOLUTIONS = {"stem_patch_size": 2, "widths": (8, 12), "num_blocks": (1,)}
BLOCKS = {
    "units": 16,
    "depth": 2,
    "num_heads": 2,
    "siren_features": 8,
    "mixing_size": 3,
}
VIDEO, LATENTS = random(1, 5, 16, 16, 3), random(1, 2, 2, 2, 8, seed=1)
DIT_INPUTS = {
    "video": VIDEO,
    "timestep": np.full(1, 0.7, "float32"),
    "latents": LATENTS,
    "times": np.arange(5, dtype="float32")[None],
}
NETWORKS = {
    "encoder": (VideoEncoder, CONVOLUTIONS, VIDEO),
    "conv": (ConvDecoder, CONVOLUTIONS, LATENTS),
    "dit": (DiTDecoder, BLOCKS, DIT_INPUTS),
    "in_context": (DiTDecoder, {**BLOCKS, "conditioning": "in_context"}, DIT_INPUTS),
}
pytestmark = pytest.mark.parametrize(
    ("cls", "kwargs", "inputs"), NETWORKS.values(), ids=NETWORKS
)


def call(network, inputs):
    return ops.convert_to_numpy(network(inputs, training=False))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_stays_close(cls, kwargs, inputs, dtype):
    full = awaken(cls(4, **kwargs))
    half = cls(4, **kwargs, dtype=dtype)
    half.set_weights(full.get_weights())
    expected, output = call(full, inputs), call(half, inputs)
    assert output.dtype == "float32"
    assert np.abs(output - expected).max() < 0.05 * np.abs(expected).max()


def test_config_round_trip(cls, kwargs, inputs, tmp_path):
    network = awaken(cls(4, **kwargs))
    assert cls.from_config(network.get_config()).get_config() == network.get_config()
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(call(loaded, inputs), call(network, inputs))
