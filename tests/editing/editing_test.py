"""Mixtures of two videos, on a model that adds its noise to a ramp."""

import dataclasses

import numpy as np
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.editing import combine, compare, interpolate, spread
from keras_regen.latents import Latents
from keras_regen.pixels import to_uint8
from tests.codec.ramps import RampModel

COUNTS = {"num_steps": 2, "refinements": 0, "dtype": "float32"}


@pytest.fixture
def codec():
    return VideoCodec(RampModel(4))


@pytest.fixture
def videos(codec):
    rng = np.random.default_rng(0)
    videos = [rng.uniform(-0.1, 0.1, (n, 16, 24, 3)) for n in (14, 8)]
    videos = [video.astype("float32") for video in videos]
    return [codec.invert(video, **COUNTS) for video in videos]


def test_interpolation_starts_with_the_first_and_ends_with_the_second(codec, videos):
    first, second = videos
    for share, expected in ((0.0, first[:8]), (1.0, second)):
        mixed = interpolate(first, second, share)
        assert len(mixed) == 8
        # A slice of a longer video fades into the frames that follow.
        difference = codec.decode(mixed) - codec.decode(expected)
        assert np.abs(difference).max() < 1e-4
    half = interpolate(first, second)
    norms = [np.linalg.norm(x.array[0]) for x in (half, first, second)]
    assert min(norms[1:]) <= norms[0] <= max(norms[1:])
    assert interpolate(first, dataclasses.replace(second, noise=None)).noise is None


def test_each_part_comes_from_its_video(videos):
    first, second = videos
    mixed = combine(first, second, noise=second)
    np.testing.assert_array_equal(mixed.array[0::2], first.array[0:4:2])
    np.testing.assert_array_equal(mixed.array[1::2], second.array[1::2])
    np.testing.assert_array_equal(mixed.noise.array, second.noise.array)
    assert combine(first, second).noise is None


def test_videos_in_files_are_read_chunk_by_chunk(codec, videos, tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.h5" for i in range(2)]
    for video, path in zip(videos, paths, strict=True):
        video.save(path, dtype="float32")
    first, second = (Latents.load(path, lazy=True) for path in paths)
    reads = []
    read = type(first.array).__array__

    def counted(stored, *args, **kwargs):
        reads.append(len(stored) * np.prod(stored.shape[1:]))
        return read(stored, *args, **kwargs)

    monkeypatch.setattr(type(first.array), "__array__", counted)
    for mix in (interpolate, lambda a, b: combine(a, b, noise=b)):
        mixed, expected = mix(first, second), mix(*videos)
        assert not reads
        for row in (1, np.int64(-1)):
            np.testing.assert_array_equal(mixed.array[row], expected.array[row])
        assert max(reads) == np.prod(first.array.shape[1:])
        with pytest.raises(IndexError):
            mixed.array[len(mixed.array)]
        mixed.save(tmp_path / "mixed.h5", dtype="float32")
        decoded = codec.decode(mixed)
        # Of the values of the latents, two rows a chunk, and of the noise, one.
        assert max(reads) == np.prod(first.noise.array.shape[1:])
        np.testing.assert_array_equal(decoded, codec.decode(expected))
        stored = Latents.load(tmp_path / "mixed.h5")
        np.testing.assert_array_equal(stored.array, expected.array)
        np.testing.assert_array_equal(stored.noise.array, expected.noise.array)
        by_path = mix(str(paths[0]), paths[1])
        np.testing.assert_array_equal(by_path.array, expected.array)
        reads.clear()


def test_comparison(codec, videos):
    first, second = videos
    compared = compare(codec, first, second)
    assert {video.shape for video in compared.values()} == {(8, 16, 24, 3)}
    expected = to_uint8(codec.decode(second))
    np.testing.assert_array_equal(compared["second"], expected)
    # The toy adds noise to what it makes of the latents.
    total = compared["first"].astype(int) + compared["second"]
    swapped = (
        compared["first, noise of second"].astype(int)
        + compared["second, noise of first"]
    )
    assert np.abs(total - swapped).max() <= 3
    assert np.any(compared["first"] != compared["first, noise of second"])


def test_spread_over_seeds(codec, videos):
    made = []

    def decode_stream(latents, seed, num_steps, noise_scale):
        assert latents.noise is None and latents.dtype == "float32"
        made.append(seed)
        yield from np.full((2, 4, 4, 3), seed / 127.5)

    codec.decode_stream = decode_stream
    found = spread(codec, videos[0], seeds=[1, 3, 8])
    assert found.shape == (2, 4, 4) and made == [1, 3, 8]
    np.testing.assert_allclose(found, np.std([1, 3, 8], ddof=1), rtol=1e-5)


def test_what_does_not_fit(codec, videos):
    first, second = videos
    small = codec.invert(np.zeros((5, 8, 8, 3), "float32"), **COUNTS)
    with pytest.raises(ValueError, match="same height. Received: 16 and 8"):
        combine(first, small)
    with pytest.raises(ValueError, match="share=1.5"):
        interpolate(first, second, 1.5)
    with pytest.raises(ValueError, match="must be latents with noise"):
        combine(first, noise=dataclasses.replace(second, noise=None))
    other = dataclasses.replace(second.noise, num_steps=7)
    with pytest.raises(ValueError, match="noise of the same kind"):
        interpolate(first, dataclasses.replace(second, noise=other))
    with pytest.raises(ValueError, match="path of their file. Received: list"):
        compare(codec, [first], second)
    with pytest.raises(ValueError, match="two seeds or more"):
        spread(codec, first, seeds=[0])
