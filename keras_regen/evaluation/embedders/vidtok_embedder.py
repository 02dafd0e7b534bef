"""VidTok."""

import math
import pathlib

from keras_regen.evaluation.embedders.embedder import BITS_PER_VALUE
from keras_regen.evaluation.embedders.torch_embedder import (
    LatentGrid,
    TorchEmbedder,
    import_peer,
)

REPOSITORY = "microsoft/VidTok"


class VidTokEmbedder(TorchEmbedder):
    """A model of VidTok, versions 1.0 and 1.1, causal or not, continuous or discrete.

    Its repository must be on PYTHONPATH. Loading runs what the checkpoint holds: use
    those that you trust. Continuous latents are the mode of the posterior.

    Args:
        config: path of the model's YAML, in `configs/` of the repository.
        checkpoint: path of its weights, `.ckpt` or `.safetensors`.
        name: str or None. Defaults to the checkpoint's.
        chunk_frames: see `TorchEmbedder`. VidTok's own scores take 17 frames at a time
            with causal models, and 16 with others.
        torch_dtype: see `TorchEmbedder`.
        device: see `TorchEmbedder`.

    Raises:
        ImportError: if the repository is not on PYTHONPATH.

    Reference:
        Tang et al. 2024, *VidTok: A Versatile and Open-Source Video Tokenizer*.
    """

    def __init__(
        self,
        config,
        checkpoint,
        name=None,
        chunk_frames=None,
        torch_dtype=None,
        device=None,
    ):
        omegaconf = import_peer("omegaconf", REPOSITORY)
        util = import_peer("vidtok.modules.util", REPOSITORY)
        model = omegaconf.OmegaConf.load(str(config)).model
        params = model.params
        params.ckpt_path = str(checkpoint)
        params.verbose = False
        # The loss would download the networks that it compares with.
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
            math.log2(codebook_size) if self.discrete else BITS_PER_VALUE,
            chunk_frames,
            torch_dtype,
            device,
        )

    def encode(self, video):
        """See `TorchEmbedder`."""
        latents, log = self.module.encode(video, return_reg_log=True)
        return log["indices"] if self.discrete else latents

    def decode(self, latents):
        """See `TorchEmbedder`."""
        video = self.module.decode(latents, decode_from_indices=self.discrete)
        # Causal models fill up in front; version 1.1 leaves it to the caller to crop.
        fill = self.grid.temporal_compression - 1
        frames = latents.shape[-3] * self.grid.temporal_compression
        return video[:, :, -(frames - fill) :] if self.grid.causal else video
