import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from keras_regen.evaluation.embedders import LatentGrid, TorchEmbedder  # noqa: E402
from keras_regen.evaluation.embedders.checkpoint_embedders import (  # noqa: E402
    import_peer,
)
from keras_regen.evaluation.embedders.torch_embedder import (  # noqa: E402
    as_torch_dtype,
)
from tests.evaluation.embedders.videos import noise  # noqa: E402

GRID = LatentGrid(3, 4, 8)
# More tokens than float16 can distinguish.
LEVELS = 32001


class Keeping(torch.nn.Module):
    """Keeps every pixel, as values or as tokens, and records its inputs."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.seen = []


class KeepingEmbedder(TorchEmbedder):
    value_limit = 0.5

    def __init__(self, grid=GRID, tokens=False, **options):
        self.tokens = tokens
        super().__init__("keeping", Keeping(), grid, **options)

    def encode(self, video):
        self.module.seen.append(video)
        return (video * LEVELS).round().to(torch.int32) if self.tokens else video

    def decode(self, latents):
        if self.tokens:
            latents = latents / LEVELS
        return latents.to(self.module.scale) * self.module.scale


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 8, 16), (6, 9, 17)])
def test_nothing_is_lost(shape, tokens):
    video = noise(*shape)
    embedder = KeepingEmbedder(tokens=tokens)
    np.testing.assert_array_equal(embedder.reconstruct(video).video, video)


def test_inputs_of_the_module():
    embedder = KeepingEmbedder()
    video = noise(6, 9, 17)
    video[0, 0, 0] = (0, 255, 51)
    embedder.reconstruct(video)
    (seen,) = embedder.module.seen
    assert seen.shape == (1, 3, 9, 16, 24)
    assert not embedder.module.training
    np.testing.assert_allclose(seen[0, :, 0, 0, 0], [-0.5, 0.5, -0.3], atol=1e-7)
    assert torch.equal(seen[:, :, 6:], seen[:, :, 5:6].expand(-1, -1, 3, -1, -1))
    assert torch.equal(seen[..., 17:], seen[..., 16:17].expand(-1, -1, -1, -1, 7))
    expected = (video[5, 8, 16] / 127.5 - 1) / 2
    np.testing.assert_allclose(seen[0, :, 5, 8, 16], expected, atol=1e-6)


def test_values_are_stored_as_float16_and_tokens_are_not():
    decoded = []

    class Spy(KeepingEmbedder):
        def decode(self, latents):
            decoded.append(latents)
            return super().decode(latents)

    for tokens in (False, True):
        embedder = Spy(tokens=tokens)
        embedder.reconstruct(noise(1, 8, 8))
        encoded = embedder.encode(embedder.module.seen[0])
        expected = encoded if tokens else encoded.half().float()
        assert decoded[-1].dtype == expected.dtype
        assert torch.equal(decoded[-1], expected)
        assert not torch.equal(encoded.half().to(encoded), encoded)


@pytest.mark.parametrize(
    ("grid", "shape", "padded", "num_values"),
    [
        (LatentGrid(4, 4, 8), (1, 1, 1), (1, 8, 8), 4),
        (LatentGrid(4, 4, 8), (5, 8, 8), (5, 8, 8), 8),
        (LatentGrid(4, 4, 8), (6, 8, 9), (9, 8, 16), 24),
        (LatentGrid(4, 4, 8, causal=False), (1, 8, 8), (4, 8, 8), 4),
        (LatentGrid(4, 4, 8, causal=False), (5, 8, 8), (8, 8, 8), 8),
        (LatentGrid(4, 4, 8, frame_step=8), (5, 8, 8), (9, 8, 8), 12),
        (LatentGrid(4, 4, 8, side_step=32), (1, 8, 40), (1, 32, 64), 128),
        (LatentGrid(4, 4, 8, square=True), (1, 8, 40), (1, 40, 40), 100),
    ],
)
def test_grid(grid, shape, padded, num_values):
    assert grid.padded_shape(*shape) == padded
    assert grid.num_values(*shape) == num_values


def test_chunks_are_independent():
    embedder = KeepingEmbedder(chunk_frames=5)
    video = noise(11, 8, 8)
    reconstruction = embedder.reconstruct(video)
    np.testing.assert_array_equal(reconstruction.video, video)
    assert [x.shape[2] for x in embedder.module.seen] == [5, 5, 1]
    assert reconstruction.num_values == 3 * 11 * 64
    assert embedder.num_values(11, 8, 8) == 3 * (2 + 2 + 1)


def test_bits():
    bits = math.log2(1000)
    embedder = KeepingEmbedder(bits_per_value=bits, tokens=True)
    reconstruction = embedder.reconstruct(noise(1, 8, 8))
    assert reconstruction.num_values == 192
    assert reconstruction.num_bits == math.ceil(192 * bits)
    assert KeepingEmbedder().reconstruct(noise(1, 8, 8)).num_bits == 192 * 16


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_dtype(dtype):
    embedder = KeepingEmbedder(torch_dtype=dtype, device="cpu")
    video = noise(1, 8, 8)
    difference = embedder.reconstruct(video).video.astype(int) - video
    assert embedder.module.seen[0].dtype == torch.bfloat16
    assert embedder.module.scale.dtype == torch.bfloat16
    assert np.abs(difference).max() <= 1


def test_errors():
    with pytest.raises(ValueError, match="at least 1.*Received: chunk_frames=0"):
        KeepingEmbedder(chunk_frames=0)
    with pytest.raises(ValueError, match="PyTorch.*Received: torch_dtype='float17'"):
        as_torch_dtype("float17")
    with pytest.raises(ImportError, match="github.com/me/mine.*PYTHONPATH"):
        import_peer("no_such_peer", "me/mine")


def test_another_shape_is_an_error():
    class Shortening(KeepingEmbedder):
        def decode(self, latents):
            return latents[:, :, 1:]

    message = r"keeping must decode.*\(1, 3, 5, 8, 8\).*Received: \(1, 3, 4, 8, 8\)"
    with pytest.raises(ValueError, match=message):
        Shortening().reconstruct(noise(5, 8, 8))


def test_identity_depends_on_the_weights():
    embedder, other = KeepingEmbedder(), KeepingEmbedder()
    assert embedder.identity == other.identity
    with torch.no_grad():
        other.module.scale.fill_(2)
    del other.identity
    assert embedder.identity != other.identity
    assert KeepingEmbedder(chunk_frames=4).identity != embedder.identity
