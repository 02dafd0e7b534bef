"""The video autoencoders of diffusers."""

import pathlib
from typing import Any

from keras_regen.evaluation.embedders.torch_embedder import (
    LatentGrid,
    TorchEmbedder,
    as_torch_dtype,
    import_torch,
)
from keras_regen.types import Tensor


def _ratios_grid(module):
    return LatentGrid(
        module.config.latent_channels,
        module.temporal_compression_ratio,
        module.spatial_compression_ratio,
    )


def _cosmos_grid(module):
    config = module.config
    return LatentGrid(
        config.latent_channels,
        config.temporal_compression_ratio,
        config.spatial_compression_ratio,
    )


def _cogvideox_grid(module):
    config = module.config
    # It decodes latent frames in pairs. If their number is even, the first one decodes
    # to as many frames as the others, so only odd numbers keep the original length.
    step = module.num_latent_frames_batch_size * config.temporal_compression_ratio
    return LatentGrid(
        config.latent_channels,
        config.temporal_compression_ratio,
        2 ** (len(config.block_out_channels) - 1),
        frame_step=step,
    )


def _wan_grid(module):
    config = module.config
    # Wan 2.2 folds patches into channels first.
    patch_size = config.patch_size or 1
    return LatentGrid(
        config.z_dim,
        2 ** sum(config.temperal_downsample),
        patch_size * 2 ** (len(config.dim_mult) - 1),
    )


FAMILIES = {
    "AutoencoderKLCogVideoX": _cogvideox_grid,
    "AutoencoderKLCosmos": _cosmos_grid,
    "AutoencoderKLHunyuanVideo": _ratios_grid,
    "AutoencoderKLLTXVideo": _ratios_grid,
    "AutoencoderKLMagvit": _ratios_grid,
    "AutoencoderKLWan": _wan_grid,
}


class DiffusersEmbedder(TorchEmbedder):
    """An autoencoder of diffusers: CogVideoX, Cosmos, EasyAnimate, Hunyuan, LTX or Wan.

    The latents are the mode of the posterior, so results are repeatable. Tiling is off.

    Args:
        model_or_path: a model of a class in `FAMILIES`; the path of a directory with
            `config.json`; or an id on the hub, `user/name` or `user/name/subfolder`.
        family: str or None. The model's class, a key of `FAMILIES`. Defaults to the
            class in `config.json`.
        name: str or None. Defaults to the last part of the path or id.
        decode_timestep: float. The time for a decoder with `timestep_conditioning`
            (LTX). No noise is added to the latents. Defaults to `0.05`.
        **kwargs: `chunk_frames`, `torch_dtype` and `device`, see `TorchEmbedder`.

    Raises:
        ImportError: if diffusers is not installed.
        ValueError: if the model has another class or cannot be loaded.
    """

    def __init__(
        self,
        model_or_path: Any,
        family: str | None = None,
        name: str | None = None,
        decode_timestep: float = 0.05,
        **kwargs: Any,
    ) -> None:
        if isinstance(model_or_path, str | pathlib.Path):
            module = _load(str(model_or_path), family, kwargs.get("torch_dtype"))
            name = name or pathlib.Path(model_or_path).name
        else:
            module = model_or_path
        family = type(module).__name__
        _check_family(family)
        super().__init__(name or family, module, FAMILIES[family](module), **kwargs)
        self.decode_timestep = decode_timestep

    def encode(self, video: Tensor) -> Tensor:
        """See `TorchEmbedder`."""
        return self.module.encode(video).latent_dist.mode()

    def decode(self, latents: Tensor) -> Tensor:
        """See `TorchEmbedder`."""
        torch = import_torch()
        times = ()
        if self.module.config.get("timestep_conditioning"):
            times = (latents.new_tensor([self.decode_timestep]),)
        # Layers of LTX may draw noise from the global random state.
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(0)
            return self.module.decode(latents, *times).sample


def _check_family(family):
    if family not in FAMILIES:
        raise ValueError(
            f"The autoencoder must be one of {', '.join(FAMILIES)}. Received: {family}"
        )


def _load(path, family, torch_dtype):
    try:
        import diffusers
    except ImportError as error:
        raise ImportError(
            "The autoencoders of diffusers need diffusers: "
            "pip install keras-regen[peers]"
        ) from error
    subfolder = None
    if not pathlib.Path(path).is_dir() and path.count("/") > 1:
        user, repository, subfolder = path.split("/", 2)
        path = f"{user}/{repository}"
    if family is None:
        cls = diffusers.AutoModel
    else:
        _check_family(family)
        cls = getattr(diffusers, family)
    try:
        return cls.from_pretrained(
            path, subfolder=subfolder, torch_dtype=as_torch_dtype(torch_dtype)
        )
    except OSError as error:
        raise ValueError(
            "A diffusers autoencoder is a directory with a config.json, or an id on "
            f"the hub. Received: {path!r}, which cannot be loaded: {error}"
        ) from error
