import types

import numpy as np
import pytest

from keras_regen.codec import Compression, compression, reconstruct_frames
from tests.models.conftest import awaken, make_regen

K = 4


def random_video(num_frames, height, width):
    shape = (num_frames, height, width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


class Recorder:
    """Stands for a model: returns the chunk inverted and notes what it was asked."""

    temporal_compression = K
    encoder = types.SimpleNamespace(latent_channels=8)

    def __init__(self):
        self.calls = []

    def reconstruct(self, video, num_steps=1, seed=0, origin=(0, 0, 0)):
        self.calls.append((video, num_steps, seed, origin))
        return 255 - video


@pytest.mark.parametrize("num_frames", [1, 4, 5, 6, 10, 13])
@pytest.mark.parametrize("size", [(1, 1), (8, 16), (17, 9)])
def test_nothing_is_lost(num_frames, size):
    video = random_video(num_frames, *size)
    originals, outputs = zip(*reconstruct_frames(Recorder(), video), strict=True)
    np.testing.assert_array_equal(np.stack(originals), video)
    np.testing.assert_array_equal(np.stack(outputs), 255 - video)


def test_chunks_and_their_origins():
    recorder = Recorder()
    video = random_video(12, 10, 16)
    list(reconstruct_frames(recorder, video, num_steps=3, seed=7))
    assert [call[1:] for call in recorder.calls] == [
        (3, 7, (0, 0, 0)),
        (3, 7, (5, 0, 0)),
        (3, 7, (10, 0, 0)),
    ]
    chunks = np.concatenate([call[0] for call in recorder.calls], axis=0)
    assert chunks.shape == (3, K + 1, 16, 16, 3)
    assert chunks.dtype == "uint8"
    np.testing.assert_array_equal(chunks[2, :2, :10], video[10:])
    # Filled up with the last frame and the last row.
    for frame in chunks[2, 2:]:
        np.testing.assert_array_equal(frame, chunks[2, 1])
    for row in range(10, 16):
        np.testing.assert_array_equal(chunks[:, :, row], chunks[:, :, 9])


def test_holds_one_chunk_at_a_time():
    taken = 0

    def frames():
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros((8, 8, 3), "uint8")

    pairs = reconstruct_frames(Recorder(), frames())
    for given in range(1, 24):
        next(pairs)
        assert taken == -(-given // (K + 1)) * (K + 1)


def test_agrees_with_the_model():
    regen = awaken(make_regen(K))
    video = random_video(7, 13, 20)
    pairs = reconstruct_frames(regen, iter(video), num_steps=2, seed=3)
    result = np.stack([regenerated for _, regenerated in pairs])
    padded = np.pad(video, ((0, 3), (0, 3), (0, 4), (0, 0)), mode="edge")
    expected = [
        regen.reconstruct(padded[None, start : start + 5], 2, 3, (start, 0, 0))[0]
        for start in (0, 5)
    ]
    expected = np.concatenate(expected)[:7, :13, :20]
    assert result.dtype == "uint8"
    np.testing.assert_array_equal(result, expected)
    # The second chunk has noise of its own.
    still = np.zeros((10, 8, 8, 3), "uint8")
    still = np.stack([output for _, output in reconstruct_frames(regen, still)])
    assert np.any(still[:5] != still[5:])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames"),
        ([np.zeros((8, 8), "uint8")], "frame 0"),
        ([np.zeros((8, 8, 3), "float32")], "frame 0 with dtype=float32"),
        ([np.zeros((0, 8, 3), "uint8")], "frame 0"),
        ([np.zeros((8, 8, 3), "uint8"), np.zeros((8, 9, 3), "uint8")], "frame 1"),
    ],
)
def test_errors(frames, message):
    with pytest.raises(ValueError, match=f"Received: {message}"):
        list(reconstruct_frames(Recorder(), frames))


def test_compression():
    # 3 chunks of two latent frames of 2x3x8 values.
    values = compression(Recorder(), num_frames=11, height=16, width=17)
    pixel_values = 11 * 16 * 17 * 3
    assert values == Compression(3 * 2 * 48, pixel_values)
    assert values.ratio == pytest.approx(pixel_values / 288)


def test_compression_counts_the_latents():
    regen = make_regen(K)
    latents = regen.encode(np.zeros((1, 5, 16, 24, 3), "uint8"))
    assert compression(regen, 5, 16, 24).latent_values == latents.size
