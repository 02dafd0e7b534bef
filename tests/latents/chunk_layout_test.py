import numpy as np
import pytest

from keras_regen.latents import ChunkLayout


@pytest.mark.parametrize("chunking", ["disjoint", "shared"])
@pytest.mark.parametrize("k", [2, 4, 8, 32])
def test_every_frame_has_a_chunk(k, chunking):
    layout = ChunkLayout(k, chunking)
    for num_frames in range(1, 5 * k):
        count = layout.count(num_frames)
        held = set()
        for chunk in range(count):
            start = layout.start(chunk)
            held |= set(range(start, start + k + 1))
        assert held >= set(range(num_frames))
        # One chunk fewer would not hold all frames.
        assert count == 1 or layout.start(count - 2) + k + 1 < num_frames


@pytest.mark.parametrize("chunking", ["disjoint", "shared"])
@pytest.mark.parametrize("blend_frames", [0, 1, 2, 3])
def test_at_most_two_chunks_show_a_time(chunking, blend_frames):
    layout = ChunkLayout(8, chunking, blend_frames)
    times = np.arange(-3, 40, 0.25)
    shares = []
    for chunk in range(6):
        share = layout.weight(chunk, times)
        if chunk > 0:
            share = share - layout.weight(chunk - 1, times)
        low, high = layout.window(chunk)
        outside = (times <= low) | (times >= high)
        assert np.all(share >= 0)
        if chunk > 0:
            assert np.all(share[outside] == 0)
        shares.append(share)
    np.testing.assert_allclose(np.sum(shares, axis=0), 1)
    assert np.max(np.count_nonzero(shares, axis=0)) <= 2


def test_weights():
    disjoint = ChunkLayout(8, "disjoint", 1)
    times = np.array([6, 7, 8, 8.5, 9, 10, 11])
    expected = [1, 1, 2 / 3, 1 / 2, 1 / 3, 0, 0]
    np.testing.assert_allclose(disjoint.weight(0, times), expected)
    assert disjoint.cut(0, times).tolist() == [1, 1, 1, 0.5, 0, 0, 0]
    shared = ChunkLayout(8, "shared", 1)
    times = np.array([6, 7, 8, 9, 10])
    expected = [1, 5 / 6, 1 / 2, 1 / 6, 0]
    np.testing.assert_allclose(shared.weight(0, times), expected)
    assert shared.cut(0, times).tolist() == [1, 1, 0.5, 0, 0]
    # Without blending, every frame comes from one chunk.
    cut = ChunkLayout(8, "disjoint", 0).weight(0, np.arange(12))
    assert cut.tolist() == [1.0] * 9 + [0.0] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, "overlapping"), "'overlapping'"),
        ((8, "disjoint", -1), "blend_frames=-1"),
        ((8, "disjoint", 5), "blend_frames=5"),
        ((8, "shared", 4), "blend_frames=4"),
        ((2, "shared", 1), "blend_frames=1"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        ChunkLayout(*arguments)
