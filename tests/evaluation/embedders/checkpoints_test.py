"""VidTok, WF-VAE and OmniTokenizer, on stand-ins with their signatures.

Each stand-in notes what it is called with, keeps every pixel of the corner of a
position as its latent, and decodes as many frames as the real model does.
"""

import argparse
import math
import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from keras_regen.evaluation.embedders import (  # noqa: E402
    OmniTokenizerEmbedder,
    VidTokEmbedder,
    WFVAEEmbedder,
)
from tests.evaluation.embedders.videos import noise  # noqa: E402

SHAPES = [(1, 1, 1), (6, 9, 18), (9, 16, 16)]


class StandIn(torch.nn.Module):
    """A module with one weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen = []


def flat_video(num_frames, height, width):
    """A video of one colour, which any latent position can keep."""
    return np.broadcast_to(noise(1, 1, 1), (num_frames, height, width, 3)).copy()


def upsampled(latents, times, pixels):
    """Repeats `(1, C, t, h, w)` in time and space."""
    for dim, count in ((2, times), (3, pixels), (4, pixels)):
        latents = latents.repeat_interleave(count, dim)
    return latents


# === VidTok ===


class VidTok(StandIn):
    """`AutoencodingEngine`, of 4x8x8."""

    def __init__(self, causal, discrete, crops):
        super().__init__()
        self.is_causal = causal
        self.crops = crops
        self.encoder = argparse.Namespace(time_downsample_factor=4, num_resolutions=4)
        self.regularization = argparse.Namespace(sample=True)
        if discrete:
            self.regularization.codebook_size = 1000
        self.table = None

    def encode(self, x, return_reg_log=False):
        assert return_reg_log
        self.seen.append(x)
        frames = x.shape[2]
        if self.is_causal:
            assert frames % 4 == 1
            x = torch.nn.functional.pad(x, (0, 0, 0, 0, 3, 0), mode="replicate")
        else:
            assert frames % 4 == 0
        z = x[:, :, ::4, ::8, ::8]
        if not hasattr(self.regularization, "codebook_size"):
            assert self.regularization.sample is False
            return z, {"kl_loss": 0}
        self.table = z
        return z, {"indices": torch.zeros(1, *z.shape[2:], dtype=torch.int32)}

    def decode(self, z, decode_from_indices=False):
        if decode_from_indices:
            assert z.dtype == torch.int32
            z = self.table
        video = upsampled(z, 4, 8)
        # The frames padded at the start must be the cropped ones.
        if self.is_causal:
            video[:, :, :3] = torch.nan
        return video[:, :, 3:] if self.is_causal and self.crops else video


@pytest.fixture
def vidtok(monkeypatch):
    """Replaces the repository by the stand-in, and returns its configuration."""

    def install(causal=True, discrete=False, crops=True):
        encoder = argparse.Namespace(params=argparse.Namespace(z_channels=3))
        params = argparse.Namespace(encoder_config=encoder, loss_config="LPIPS")
        model = VidTok(causal, discrete, crops)
        config = argparse.Namespace(model=argparse.Namespace(params=params))
        omegaconf = types.ModuleType("omegaconf")
        omegaconf.OmegaConf = argparse.Namespace(
            load=lambda path: config if path == "vidtok.yaml" else None
        )
        util = types.ModuleType("vidtok.modules.util")
        util.instantiate_from_config = lambda c: model if c is config.model else None
        modules = {
            "omegaconf": omegaconf,
            "vidtok": types.ModuleType("vidtok"),
            "vidtok.modules": types.ModuleType("vidtok.modules"),
            "vidtok.modules.util": util,
        }
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        return params

    return install


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize(
    ("causal", "crops"), [(True, True), (True, False), (False, False)]
)
def test_vidtok(vidtok, shape, discrete, causal, crops):
    params = vidtok(causal, discrete, crops)
    embedder = VidTokEmbedder("vidtok.yaml", "models/vidtok_488.ckpt", device="cpu")
    assert embedder.name == "vidtok_488"
    assert params.ckpt_path == "models/vidtok_488.ckpt"
    assert params.loss_config == {"target": "torch.nn.Identity"}
    video = flat_video(*shape)
    reconstruction = embedder.reconstruct(video)
    np.testing.assert_allclose(reconstruction.video, video, atol=1)
    (seen,) = embedder.module.seen
    assert seen.abs().max() <= 1
    frames = {1: 1, 6: 9, 9: 9} if causal else {1: 4, 6: 8, 9: 12}
    assert seen.shape[2] == frames[shape[0]]
    positions = -(-seen.shape[2] // 4) * -(-shape[1] // 8) * -(-shape[2] // 8)
    assert reconstruction.num_values == positions * (1 if discrete else 3)
    assert reconstruction.num_values == embedder.num_values(*shape)
    bits = math.log2(1000) if discrete else 16
    assert reconstruction.num_bits == math.ceil(reconstruction.num_values * bits)


def test_vidtok_of_fewer_levels(vidtok):
    vidtok()
    embedder = VidTokEmbedder("vidtok.yaml", "a.ckpt", device="cpu")
    assert embedder.grid.spatial_compression == 8
    embedder.module.encoder.spatial_ds = [1, 2]
    embedder = VidTokEmbedder("vidtok.yaml", "a.ckpt", device="cpu")
    assert embedder.grid.spatial_compression == 4


# === WF-VAE ===


class WFVAE(StandIn):
    """`WFVAEModel`, of 4x8x8."""

    temporal_uptimes = 4
    config = argparse.Namespace(latent_dim=3)

    @classmethod
    def from_pretrained(cls, path):
        assert path == "models/wf"
        return cls()

    def encode(self, x):
        self.seen.append(x)
        assert x.shape[2] % 4 == 1
        z = torch.cat([x[:, :, :1], x[:, :, 1::4]], dim=2)[..., ::8, ::8]
        return argparse.Namespace(latent_dist=argparse.Namespace(mode=lambda: z))

    def decode(self, z):
        return argparse.Namespace(sample=upsampled(z, 4, 8)[:, :, 3:])


@pytest.mark.parametrize("shape", SHAPES)
def test_wf_vae(monkeypatch, shape):
    package = types.ModuleType("causalvideovae")
    models = types.ModuleType("causalvideovae.model")
    models.WFVAEModel = WFVAE
    monkeypatch.setitem(sys.modules, "causalvideovae", package)
    monkeypatch.setitem(sys.modules, "causalvideovae.model", models)
    embedder = WFVAEEmbedder("models/wf", device="cpu")
    assert embedder.name == "wf"
    video = flat_video(*shape)
    reconstruction = embedder.reconstruct(video)
    np.testing.assert_allclose(reconstruction.video, video, atol=1)
    assert embedder.module.seen[0].abs().max() <= 1
    assert reconstruction.num_values == embedder.num_values(*shape)
    assert reconstruction.num_bits == 16 * reconstruction.num_values


# === OmniTokenizer ===


class OmniTokenizer(StandIn):
    """`OmniTokenizer_VQGAN`, of 4x8x8."""

    n_codes = 8192
    codebook_dim = 3

    def __init__(self, use_vae, windows):
        super().__init__()
        self.use_vae = use_vae
        self.args = argparse.Namespace(
            codebook_dim=3,
            temporal_patch_size=4,
            patch_size=8,
            twod_window_size=2,
            enc_block="ttww" if windows else "tttt",
            dec_block="tttt",
        )
        self.table = None

    def encoder(self, x, is_image):
        assert not is_image
        self.seen.append(x)
        frames, height, width = x.shape[2:]
        assert frames % 4 == 1 and height == width
        side = 16 if "w" in self.args.enc_block else 8
        assert height % side == 0
        return torch.cat([x[:, :, :1], x[:, :, 1::4]], dim=2)[..., ::8, ::8]

    def pre_vq_conv(self, h):
        return torch.cat([h, torch.full_like(h, torch.nan)], dim=1)

    def encode(self, x, is_image, include_embeddings=False):
        assert not self.use_vae, "draws a sample"
        self.table = self.encoder(x, is_image)
        return torch.zeros(1, *self.table.shape[2:], dtype=torch.int64)

    def decode(self, encodings, is_image):
        assert not is_image
        if self.use_vae:
            z = encodings.permute(0, 4, 1, 2, 3)
        else:
            assert encodings.dtype == torch.int64 and encodings.ndim == 4
            z = self.table
        return upsampled(z, 4, 8)[:, :, 3:]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("use_vae", [False, True])
@pytest.mark.parametrize("windows", [False, True])
def test_omni_tokenizer(monkeypatch, shape, use_vae, windows):
    def load_from_checkpoint(path, map_location, strict):
        assert (path, map_location, strict) == ("models/k600.ckpt", "cpu", False)
        return OmniTokenizer(use_vae, windows)

    package = types.ModuleType("OmniTokenizer")
    package.OmniTokenizer_VQGAN = argparse.Namespace(
        load_from_checkpoint=load_from_checkpoint
    )
    monkeypatch.setitem(sys.modules, "OmniTokenizer", package)
    embedder = OmniTokenizerEmbedder("models/k600.ckpt", device="cpu")
    assert embedder.name == "k600"
    video = flat_video(*shape)
    video[0, 0, 0] = (255, 255, 0)
    reconstruction = embedder.reconstruct(video)
    np.testing.assert_allclose(reconstruction.video[1:], video[1:], atol=1)
    (seen,) = embedder.module.seen
    assert (seen.min(), seen.max()) == (-0.5, 0.5)
    assert reconstruction.num_values == embedder.num_values(*shape)
    latents = seen.shape[3] * seen.shape[4] // 64 * (1 + seen.shape[2] // 4)
    assert reconstruction.num_values == latents * (3 if use_vae else 1)
    bits = 16 if use_vae else 13
    assert reconstruction.num_bits == reconstruction.num_values * bits


@pytest.mark.parametrize(
    ("cls", "arguments", "repository"),
    [
        (VidTokEmbedder, ("a.yaml", "b.ckpt"), "microsoft/VidTok"),
        (WFVAEEmbedder, ("a",), "PKU-YuanGroup/WF-VAE"),
        (OmniTokenizerEmbedder, ("a.ckpt",), "FoundationVision/OmniTokenizer"),
    ],
)
def test_without_the_repository(monkeypatch, cls, arguments, repository):
    for name in ("omegaconf", "vidtok", "causalvideovae", "OmniTokenizer"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"clone https://github.com/{repository}"):
        cls(*arguments)
