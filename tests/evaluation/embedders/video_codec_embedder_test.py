import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.evaluation.embedders import X264, VideoCodecEmbedder, ZonalDct
from tests.evaluation.embedders.videos import noise
from tests.models.conftest import awaken, make_regen


@pytest.fixture(scope="module")
def codec():
    keras.utils.set_random_seed(0)
    return VideoCodec(awaken(make_regen(4)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 17, 9)])
def test_reconstruct(codec, shape):
    embedder = VideoCodecEmbedder(codec)
    video = noise(*shape)
    reconstruction = embedder.reconstruct(video)
    assert reconstruction.video.shape == video.shape
    assert reconstruction.video.dtype == "uint8"
    size = codec.encode(video).array.size
    assert reconstruction.num_values == embedder.num_values(*shape) == size
    assert reconstruction.num_bits == 16 * size


def test_it_decodes_what_is_stored(codec, tmp_path):
    video = noise(7, 17, 9)
    codec.encode(video).save(tmp_path / "latents.h5")
    expected = codec.decode(tmp_path / "latents.h5", num_steps=2, seed=5)
    decoded = VideoCodecEmbedder(codec, num_steps=2, seed=5).reconstruct(video).video
    np.testing.assert_array_equal(decoded, expected)
    for options in ({"num_steps": 1, "seed": 5}, {"num_steps": 2, "seed": 6}):
        other = VideoCodecEmbedder(codec, **options).reconstruct(video).video
        assert np.any(other != decoded)


def test_name(codec, monkeypatch):
    assert VideoCodecEmbedder(codec).name == "Regen"
    monkeypatch.setattr(codec.model, "preset", "models/mine")
    assert VideoCodecEmbedder(codec).name == "mine"
    monkeypatch.setattr(codec.model, "preset", "runs/first/preset")
    assert VideoCodecEmbedder(codec).name == "first"
    assert VideoCodecEmbedder(codec, name="other").name == "other"


def test_a_reconstruction_is_a_record(codec):
    reconstruction = VideoCodecEmbedder(codec).reconstruct(noise(1, 8, 8))
    with pytest.raises(dataclasses.FrozenInstanceError):
        reconstruction.num_bits = 0


def test_identity_depends_on_everything_that_changes_the_result(codec, monkeypatch):
    model = codec.model
    half = make_regen(4, dtype="mixed_bfloat16")
    half.set_weights(model.get_weights())
    embedders = [
        VideoCodecEmbedder(codec),
        VideoCodecEmbedder(codec, num_steps=2),
        VideoCodecEmbedder(codec, seed=1),
        VideoCodecEmbedder(VideoCodec(model, blend_frames=0)),
        VideoCodecEmbedder(VideoCodec(model, max_memory="1GB")),
        VideoCodecEmbedder(VideoCodec(half)),
        VideoCodecEmbedder(VideoCodec(make_regen(4))),
    ]
    found = [json.dumps(embedder.identity) for embedder in embedders]
    assert len(set(found)) == len(found)
    assert json.dumps(VideoCodecEmbedder(VideoCodec(model)).identity) == found[0]
    # An embedder that matches a model changes with the model.
    anchors = [ZonalDct(embedders[0]), ZonalDct(embedders[0], 5), X264(embedders[0])]
    assert len({json.dumps(anchor.identity) for anchor in anchors}) == 3
    assert ZonalDct(embedders[-1]).identity != anchors[0].identity
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    assert json.dumps(VideoCodecEmbedder(VideoCodec(model)).identity) not in found
