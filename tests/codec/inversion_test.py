"""Videos and their noise: chunk by chunk, tile by tile, and in files."""

import dataclasses
import types

import h5py
import numpy as np
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.latents import Latents, noise_at, slerp
from keras_regen.pixels import to_unit_range
from tests.codec.ramps import RampModel
from tests.test_case import random

K = 8
COUNTS = {"num_steps": 3, "refinements": 1}


def noisy_video(frames, height=41, width=83):
    video = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3))
    return video.astype("uint8")


@pytest.mark.parametrize("frames", [1, 9, 10, 29])
@pytest.mark.parametrize("chunking", ["disjoint", "shared"])
def test_the_video_comes_back_through_chunks_and_tiles(frames, chunking, tmp_path):
    """The model adds noise to a ramp, so its noise must fit to the last pixel."""
    codec = VideoCodec(RampModel(K), chunking, tile_size=32)
    video = noisy_video(frames)
    latents = codec.invert(video, dtype="float32", **COUNTS)
    assert latents.noise.array.shape[1:] == (10, K + 1 + 4, 32, 32, 3)
    assert latents.noise.num_steps == 3
    np.testing.assert_array_equal(codec.decode(latents), video)
    # The settings of the noise count, not those of the codec that decodes.
    other = VideoCodec(RampModel(K), blend_frames=0, batch_size=1)
    path = tmp_path / "video.h5"
    latents.save(path, dtype="float32")
    np.testing.assert_array_equal(other.decode(path), video)
    if frames > 12:
        part = Latents.load(path, lazy=True)[11:14]
        np.testing.assert_array_equal(other.decode(part), video[11:14])


def test_an_output_is_written_chunk_by_chunk_and_joined_again(tmp_path):
    codec, video = VideoCodec(RampModel(K)), to_unit_range(noisy_video(20))
    path = tmp_path / "video.h5"
    stored = codec.invert(video, output=path, **COUNTS)
    in_memory = codec.invert(video, **COUNTS)
    assert in_memory.noise.array.dtype == "float16"
    np.testing.assert_array_equal(stored.noise.array, in_memory.noise.array)
    joined = Latents.join([in_memory])
    np.testing.assert_array_equal(joined.noise.array, in_memory.noise.array)
    # float16 rounds.
    np.testing.assert_allclose(codec.decode(stored), video, atol=2e-3)


def test_latents_of_ones_own(tmp_path):
    codec, video = VideoCodec(RampModel(K)), to_unit_range(noisy_video(12))
    own = codec.encode(video)
    own = dataclasses.replace(own, array=own.array + np.float32(0.25))
    own.save(tmp_path / "own.h5", "float32")
    latents = codec.invert(video, tmp_path / "own.h5", **COUNTS)
    np.testing.assert_array_equal(latents.array, own.array.astype("float16"))
    np.testing.assert_allclose(codec.decode(latents), video, atol=2e-3)
    with pytest.raises(ValueError, match="with a chunk 1. Received: Latents"):
        codec.invert(video, codec.encode(video[:9]), **COUNTS)
    for change, message in (
        ({"encoder_id": "0" * 16}, "encoder_id=0000"),
        ({"temporal_compression": K - 1}, f"temporal_compression={K - 1}"),
        ({"chunking": "shared"}, "chunking='shared'"),
    ):
        with pytest.raises(ValueError, match=message):
            # Nothing is read before.
            codec.invert("none.mp4", dataclasses.replace(own[:8], **change), **COUNTS)


def test_frames_in_between_have_noise_in_between():
    noise = random(13, 4, 5, 3)
    times = np.array([-2.0, -0.5, 3.0, 10.0, 10.9])
    found = noise_at(noise, 2, times)
    np.testing.assert_array_equal(found[[0, 2, 3, 4]], noise[[0, 5, 12, 12]])
    np.testing.assert_array_equal(found[1], slerp(noise[1], noise[2], 0.5))


def test_interpolation_on_the_sphere_keeps_the_variance():
    first, second = random(10000), 3 * random(10000, seed=1)
    assert slerp(first, second, 0.0) == pytest.approx(first, abs=1e-6)
    assert slerp(first, second, 1.0) == pytest.approx(second, abs=1e-6)
    middle = slerp(first, first[::-1], 0.5)
    assert middle.std() == pytest.approx(first.std(), rel=0.02)
    np.testing.assert_allclose(slerp(first, 2 * first, 0.5), 1.5 * first, rtol=1e-5)


class TestWhatIsRefused:
    @pytest.fixture
    def latents(self):
        return VideoCodec(RampModel(K)).invert(noisy_video(9), **COUNTS)

    def test_noise_of_another_decoder(self, latents):
        model = RampModel(K)
        model.decoder.get_weights = lambda: [np.ones(3)]
        with pytest.raises(ValueError, match="decoder_id is .*Received: decoder_id="):
            VideoCodec(model).decode(latents)

    def test_noise_of_another_shape(self, latents):
        noise = latents.noise
        for change in ({"array": noise.array[:, :, 1:]}, {"blend_frames": 1}):
            other = dataclasses.replace(noise, **change)
            with pytest.raises(ValueError, match="must have shape .*Received: noise"):
                VideoCodec(RampModel(K)).decode(
                    dataclasses.replace(latents, noise=other)
                )
        with pytest.raises(ValueError, match="noise for 1 chunks"):
            other = dataclasses.replace(noise, array=np.repeat(noise.array, 2, 0))
            dataclasses.replace(latents, noise=other)

    def test_pieces_with_noise_and_without(self, latents, tmp_path):
        codec = VideoCodec(RampModel(K))
        pieces = [codec.encode(noisy_video(9)), latents]
        pieces[1] = dataclasses.replace(latents, start=9, first_chunk=1)
        with pytest.raises(ValueError, match="must have noise, or none"):
            Latents.join(pieces)
        with pytest.raises(ValueError, match="must have noise, or none"):
            codec.decode(pieces)

    def test_other_dtypes(self):
        codec = VideoCodec(RampModel(K))
        for method in (codec.encode, codec.invert):
            with pytest.raises(ValueError, match="Received: dtype='int8'"):
                method(noisy_video(9), dtype="int8")

    def test_a_scale_of_noise_that_is_found(self, latents):
        with pytest.raises(ValueError, match="must be 1. Received: noise_scale=0.5"):
            VideoCodec(RampModel(K)).decode(latents, noise_scale=0.5)

    def test_a_model_without_noise(self):
        model = types.SimpleNamespace(is_generative=False, temporal_compression=K)
        with pytest.raises(ValueError, match="no noise to find"):
            VideoCodec(model).invert(noisy_video(9))

    def test_a_damaged_file(self, latents, tmp_path):
        path = tmp_path / "noise.h5"
        latents.save(path)
        with h5py.File(path, "r+") as file:
            file["noise"].attrs["header"] = "{}"
        with pytest.raises(ValueError, match="its noise is damaged"):
            Latents.load(path)
        with pytest.raises(ValueError, match="GB at a time"):
            latents.save(path)
            Latents.load(path, max_memory=100_000)
