import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.models import VideoEncoder
from tests.models.conftest import make_regen
from tests.test_case import random

SMALL = {"widths": (8, 12), "num_blocks": (1,)}


def encode(encoder, video):
    return ops.convert_to_numpy(encoder(video, training=False))


@pytest.mark.parametrize("k", [2, 4, 8, 16, 32, 64])
def test_k_plus_one_frames_become_two(k):
    encoder = VideoEncoder(k, stem_patch_size=4, **SMALL)
    assert encode(encoder, random(1, k + 1, 16, 24, 3)).shape == (1, 2, 2, 3, 8)
    assert encode(encoder, random(2, 1, 8, 16, 3)).shape == (2, 1, 1, 2, 8)


@pytest.mark.parametrize("stem_patch_size", [1, 2, 4, 8])
def test_content_sees_the_first_frame_alone_bit_for_bit(stem_patch_size):
    encoder = VideoEncoder(8, stem_patch_size=stem_patch_size, **SMALL)
    video = random(1, 9, 16, 24, 3)
    expected = encode(encoder, video)
    changed = video.copy()
    changed[:, 1:] = random(1, 8, 16, 24, 3, seed=1)
    output = encode(encoder, changed)
    np.testing.assert_array_equal(output[:, 0], expected[:, 0])
    assert np.abs(output[:, 1] - expected[:, 1]).max() > 1e-3


def test_motion_sees_every_frame():
    encoder = VideoEncoder(8, stem_patch_size=4, **SMALL)
    video = random(1, 9, 8, 8, 3)
    expected = encode(encoder, video)
    for frame in range(9):
        changed = video.copy()
        changed[:, frame] += 0.5
        assert np.abs(encode(encoder, changed)[:, 1] - expected[:, 1]).max() > 1e-6


def test_an_image_has_the_content_of_the_video_it_begins():
    encoder = VideoEncoder(4, stem_patch_size=4, **SMALL)
    video = random(2, 5, 16, 16, 3)
    np.testing.assert_allclose(
        encode(encoder, video[:, :1])[:, 0], encode(encoder, video)[:, 0], atol=1e-5
    )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"temporal_compression": 6}, "temporal_compression=6"),
        ({"temporal_compression": 128}, "temporal_compression=128"),
        ({"temporal_compression": 4, "stem_patch_size": 3}, "stem_patch_size=3"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=f"Received: {message}"):
        VideoEncoder(**kwargs)


class TestRegularization:
    def test_layer_norm(self):
        encoder = VideoEncoder(
            4, widths=(8,), num_blocks=(1,), regularization="layer_norm"
        )
        latents = ops.convert_to_numpy(encoder(random(1, 5, 16, 16, 3)))
        np.testing.assert_allclose(latents.mean(axis=-1), 0, atol=1e-5)
        np.testing.assert_allclose(latents.std(axis=-1), 1, atol=1e-2)

    def test_kl_draws_in_training_alone(self):
        encoder = VideoEncoder(4, widths=(8,), num_blocks=(1,), regularization="kl")
        video = random(1, 5, 16, 16, 3)
        first, again, drawn = (
            ops.convert_to_numpy(encoder(video, training=training))
            for training in (False, False, True)
        )
        assert first.shape == (1, 2, 2, 2, 8)
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - drawn).max() > 1e-3

    def test_kl_is_part_of_the_loss(self):
        def loss(kl_weight):
            keras.utils.set_random_seed(0)
            part = {"regularization": "kl", "kl_weight": kl_weight}
            regen = make_regen(encoder=part)
            regen.compile(keras.optimizers.SGD(0.0))
            return regen.fit(random(4, 5, 16, 16, 3), verbose=0).history["loss"][0]

        assert loss(1.0) > loss(0.0) + 1e-3

    def test_it_is_part_of_the_fingerprint(self):
        encoders = [
            VideoEncoder(4, widths=(8,), num_blocks=(1,), regularization=name)
            for name in (None, "layer_norm")
        ]
        encoders[1].set_weights(encoders[0].get_weights())
        assert encoders[0].fingerprint() != encoders[1].fingerprint()

    def test_unknown(self):
        with pytest.raises(ValueError, match='"layer_norm" or "kl".*\'batch\''):
            VideoEncoder(4, regularization="batch")
