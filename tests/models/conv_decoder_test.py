import numpy as np
import pytest
from keras import ops

from keras_regen.models import ARCHITECTURES, ConvDecoder, count_parameters
from keras_regen.models.architectures import CONV_DECODERS, conv_decoder_architecture
from tests.test_case import random

SMALL = {"widths": (8, 12), "num_blocks": (1,)}


def decode(decoder, latents):
    return ops.convert_to_numpy(decoder(latents, training=False))


@pytest.mark.parametrize("k", [2, 4, 8, 32])
@pytest.mark.parametrize("stem_patch_size", [1, 4])
def test_two_frames_become_k_plus_one(k, stem_patch_size):
    decoder = ConvDecoder(k, stem_patch_size=stem_patch_size, **SMALL)
    assert decode(decoder, random(1, 2, 2, 3, 8)).shape == (1, k + 1, 16, 24, 3)
    assert decode(decoder, random(2, 1, 1, 2, 8)).shape == (2, 1, 8, 16, 3)


def test_the_first_frame_sees_the_content_alone_bit_for_bit():
    decoder = ConvDecoder(8, stem_patch_size=4, **SMALL)
    latents = random(1, 2, 2, 3, 8)
    expected = decode(decoder, latents)
    changed = np.concatenate([latents[:, :1], random(1, 1, 2, 3, 8, seed=1)], axis=1)
    output = decode(decoder, changed)
    np.testing.assert_array_equal(output[:, 0], expected[:, 0])
    assert np.all(np.abs(output - expected)[:, 1:].max(axis=(0, 2, 3, 4)) > 1e-4)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"temporal_compression": 6}, "temporal_compression=6"),
        ({"temporal_compression": 4, "stem_patch_size": 3}, "stem_patch_size=3"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=f"Received: {message}"):
        ConvDecoder(**kwargs)


class TestArchitectures:
    @pytest.mark.parametrize("name", sorted(CONV_DECODERS))
    def test_it_has_the_parameters_of_the_transformer(self, name):
        # The largest have billions of weights: k = 8 stands for the others there.
        for k in CONV_DECODERS[name] if name in ("tiny", "small") else [8]:
            _, transformer = count_parameters(name, k)
            _, conventional = count_parameters(name, k, decoder="conv")
            assert conventional == pytest.approx(transformer, rel=0.01)

    def test_every_architecture_has_one(self):
        assert set(CONV_DECODERS) == set(ARCHITECTURES)

    def test_unknown(self):
        with pytest.raises(ValueError, match="k=4, 8, 16, 32.*=64"):
            conv_decoder_architecture("tiny", 64)
        with pytest.raises(ValueError, match="Received: decoder='gan'"):
            count_parameters("tiny", 8, decoder="gan")
        with pytest.raises(ValueError, match="name='huge'"):
            conv_decoder_architecture("huge", 8)
