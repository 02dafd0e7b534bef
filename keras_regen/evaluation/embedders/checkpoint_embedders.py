"""Peers whose checkpoints are loaded by their own repositories."""

import importlib
import math
import pathlib
from typing import Any

from keras_regen.evaluation.embedders.embedder import BITS_PER_VALUE
from keras_regen.evaluation.embedders.torch_embedder import LatentGrid, TorchEmbedder
from keras_regen.types import StrPath, Tensor

VIDTOK_REPOSITORY = "microsoft/VidTok"
WF_VAE_SPATIAL_COMPRESSION = 8


class VidTokEmbedder(TorchEmbedder):
    """A model of VidTok 1.0 or 1.1, causal or not, continuous or discrete.

    Its repository must be on PYTHONPATH. Loading runs code from the checkpoint, so
    use only checkpoints that you trust. Continuous latents are the mode of the
    posterior.

    Args:
        config: path of the model's YAML, in `configs/` of the repository.
        checkpoint: path of its weights, `.ckpt` or `.safetensors`.
        name: str or None. Defaults to the name of the checkpoint.
        **kwargs: `chunk_frames`, `torch_dtype` and `device`, see `TorchEmbedder`.
            VidTok's own evaluation uses chunks of 17 frames for causal models and of 16
            for others.

    Raises:
        ImportError: if the repository is not on PYTHONPATH.

    Reference:
        Tang et al. 2024, *VidTok: A Versatile and Open-Source Video Tokenizer*.
    """

    def __init__(
        self,
        config: StrPath,
        checkpoint: StrPath,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        omegaconf = import_peer("omegaconf", VIDTOK_REPOSITORY)
        util = import_peer("vidtok.modules.util", VIDTOK_REPOSITORY)
        model = omegaconf.OmegaConf.load(str(config)).model
        params = model.params
        params.ckpt_path = str(checkpoint)
        params.verbose = False
        # The loss would download its perceptual networks.
        params.loss_config = {"target": "torch.nn.Identity"}
        module = util.instantiate_from_config(model)
        regularization, encoder = module.regularization, module.encoder
        codebook_size = getattr(regularization, "codebook_size", None)
        if codebook_size is None:
            regularization.sample = False
        self.discrete = codebook_size is not None
        levels = getattr(encoder, "spatial_ds", range(encoder.num_resolutions - 1))
        grid = LatentGrid(
            1 if self.discrete else params.encoder_config.params.z_channels,
            encoder.time_downsample_factor,
            2 ** len(levels),
            causal=module.is_causal,
        )
        super().__init__(
            name or pathlib.Path(checkpoint).stem,
            module,
            grid,
            BITS_PER_VALUE if codebook_size is None else math.log2(codebook_size),
            **kwargs,
        )

    def encode(self, video: Tensor) -> Tensor:
        """See `TorchEmbedder`."""
        latents, log = self.module.encode(video, return_reg_log=True)
        return log["indices"] if self.discrete else latents

    def decode(self, latents: Tensor) -> Tensor:
        """See `TorchEmbedder`."""
        video = self.module.decode(latents, decode_from_indices=self.discrete)
        # Causal models pad at the start, and version 1.1 does not crop the padding.
        fill = self.grid.temporal_compression - 1
        frames = latents.shape[-3] * self.grid.temporal_compression
        return video[:, :, -(frames - fill) :] if self.grid.causal else video


class OmniTokenizerEmbedder(TorchEmbedder):
    """An OmniTokenizer, of discrete tokens (VQVAE) or continuous latents (VAE).

    It only takes square frames. Other frames are padded to squares, which costs
    latents. Continuous latents are the mean of the posterior, not a sample.

    Its repository must be on PYTHONPATH. Loading runs code from the checkpoint, so
    use only checkpoints that you trust.

    Args:
        checkpoint: path of the `.ckpt`.
        name: str or None. Defaults to the name of the checkpoint.
        **kwargs: `chunk_frames`, `torch_dtype` and `device`, see `TorchEmbedder`. The
            published models are trained and evaluated on chunks of 17 frames.

    Raises:
        ImportError: if the repository is not on PYTHONPATH.

    Reference:
        Wang et al. 2024, *OmniTokenizer: A Joint Image-Video Tokenizer for Visual
        Generation*.
    """

    value_limit = 0.5

    def __init__(
        self, checkpoint: StrPath, name: str | None = None, **kwargs: Any
    ) -> None:
        peer = import_peer("OmniTokenizer", "FoundationVision/OmniTokenizer")
        module = peer.OmniTokenizer_VQGAN.load_from_checkpoint(
            str(checkpoint), map_location="cpu", strict=False
        )
        args = module.args
        windows = "w" in args.enc_block + args.dec_block
        grid = LatentGrid(
            args.codebook_dim if module.use_vae else 1,
            args.temporal_patch_size,
            args.patch_size,
            side_step=args.patch_size * (args.twod_window_size if windows else 1),
            square=True,
        )
        super().__init__(
            name or pathlib.Path(checkpoint).stem,
            module,
            grid,
            BITS_PER_VALUE if module.use_vae else math.log2(module.n_codes),
            **kwargs,
        )

    def encode(self, video: Tensor) -> Tensor:
        """See `TorchEmbedder`."""
        if not self.module.use_vae:
            return self.module.encode(video, is_image=False)
        # Its own `encode` draws a sample.
        moments = self.module.pre_vq_conv(self.module.encoder(video, is_image=False))
        return moments.chunk(2, dim=1)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """See `TorchEmbedder`."""
        if self.module.use_vae:
            # It encodes to (B, C, T, H, W) but decodes from channels last.
            latents = latents.permute(0, 2, 3, 4, 1)
        return self.module.decode(latents, is_image=False)


class WFVAEEmbedder(TorchEmbedder):
    """A WF-VAE. Its latents are the mode of the posterior.

    Its repository must be on PYTHONPATH. Loading runs code from the checkpoint, so
    use only checkpoints that you trust.

    Args:
        path: path of a directory with `config.json` and the weights.
        name: str or None. Defaults to the name of the directory.
        **kwargs: `chunk_frames`, `torch_dtype` and `device`, see `TorchEmbedder`.

    Raises:
        ImportError: if the repository is not on PYTHONPATH.

    Reference:
        Li et al. 2024, *WF-VAE: Enhancing Video VAE by Wavelet-Driven Energy Flow for
        Latent Video Diffusion Model*.
    """

    def __init__(self, path: StrPath, name: str | None = None, **kwargs: Any) -> None:
        models = import_peer("causalvideovae.model", "PKU-YuanGroup/WF-VAE")
        module = models.WFVAEModel.from_pretrained(str(path))
        super().__init__(
            name or pathlib.Path(path).name,
            module,
            LatentGrid(
                module.config.latent_dim,
                module.temporal_uptimes,
                WF_VAE_SPATIAL_COMPRESSION,
            ),
            **kwargs,
        )

    def encode(self, video: Tensor) -> Tensor:
        """See `TorchEmbedder`."""
        return self.module.encode(video).latent_dist.mode()

    def decode(self, latents: Tensor) -> Tensor:
        """See `TorchEmbedder`."""
        return self.module.decode(latents).sample


def import_peer(module: str, repository: str) -> Any:
    """Imports a module of a model's own repository.

    Raises:
        ImportError: if it cannot be imported. The message says where to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"This model needs {module}: clone https://github.com/{repository}, "
            f"install its requirements and put it on PYTHONPATH. Received: {error}"
        ) from error
