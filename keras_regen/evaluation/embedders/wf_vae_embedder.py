"""WF-VAE."""

import pathlib

from keras_regen.evaluation.embedders.torch_embedder import (
    LatentGrid,
    TorchEmbedder,
    import_peer,
)

SPATIAL_COMPRESSION = 8


class WFVAEEmbedder(TorchEmbedder):
    """A WF-VAE. Its latents are the mode of the posterior.

    Its repository must be on PYTHONPATH. Loading runs what the checkpoint holds: use
    those that you trust.

    Args:
        path: path of a directory with `config.json` and the weights.
        name: str or None. Defaults to the directory's.
        chunk_frames: see `TorchEmbedder`.
        torch_dtype: see `TorchEmbedder`.
        device: see `TorchEmbedder`.

    Raises:
        ImportError: if the repository is not on PYTHONPATH.

    Reference:
        Li et al. 2024, *WF-VAE: Enhancing Video VAE by Wavelet-Driven Energy Flow for
        Latent Video Diffusion Model*.
    """

    def __init__(
        self, path, name=None, chunk_frames=None, torch_dtype=None, device=None
    ):
        models = import_peer("causalvideovae.model", "PKU-YuanGroup/WF-VAE")
        module = models.WFVAEModel.from_pretrained(str(path))
        super().__init__(
            name or pathlib.Path(path).name,
            module,
            LatentGrid(
                module.config.latent_dim, module.temporal_uptimes, SPATIAL_COMPRESSION
            ),
            chunk_frames=chunk_frames,
            torch_dtype=torch_dtype,
            device=device,
        )

    def encode(self, video):
        """See `TorchEmbedder`."""
        return self.module.encode(video).latent_dist.mode()

    def decode(self, latents):
        """See `TorchEmbedder`."""
        return self.module.decode(latents).sample
