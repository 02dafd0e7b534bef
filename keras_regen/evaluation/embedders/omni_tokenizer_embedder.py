"""OmniTokenizer."""

import math
import pathlib

from keras_regen.evaluation.embedders.embedder import BITS_PER_VALUE
from keras_regen.evaluation.embedders.torch_embedder import (
    LatentGrid,
    TorchEmbedder,
    import_peer,
)


class OmniTokenizerEmbedder(TorchEmbedder):
    """An OmniTokenizer, of discrete tokens (VQVAE) or continuous latents (VAE).

    It takes square frames only; others are filled up to squares, which costs latents.
    Continuous latents are the mean of the posterior, not a sample of it.

    Its repository must be on PYTHONPATH. Loading runs what the checkpoint holds: use
    those that you trust.

    Args:
        checkpoint: path of the `.ckpt`.
        name: str or None. Defaults to the checkpoint's.
        chunk_frames: see `TorchEmbedder`. The published models are trained and scored
            on 17 frames.
        torch_dtype: see `TorchEmbedder`.
        device: see `TorchEmbedder`.

    Raises:
        ImportError: if the repository is not on PYTHONPATH.

    Reference:
        Wang et al. 2024, *OmniTokenizer: A Joint Image-Video Tokenizer for Visual
        Generation*.
    """

    value_limit = 0.5

    def __init__(
        self, checkpoint, name=None, chunk_frames=None, torch_dtype=None, device=None
    ):
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
            chunk_frames,
            torch_dtype,
            device,
        )

    def encode(self, video):
        """See `TorchEmbedder`."""
        if not self.module.use_vae:
            return self.module.encode(video, is_image=False)
        # Its own `encode` draws a sample.
        moments = self.module.pre_vq_conv(self.module.encoder(video, is_image=False))
        return moments.chunk(2, dim=1)[0]

    def decode(self, latents):
        """See `TorchEmbedder`."""
        if self.module.use_vae:
            # It encodes to (B, C, T, H, W) and decodes from channels last.
            latents = latents.permute(0, 2, 3, 4, 1)
        return self.module.decode(latents, is_image=False)
