"""Embedders by name, for the command line."""

from typing import Any

from keras_regen.evaluation.embedders.checkpoint_embedders import (
    OmniTokenizerEmbedder,
    VidTokEmbedder,
    WFVAEEmbedder,
)
from keras_regen.evaluation.embedders.diffusers_embedder import DiffusersEmbedder
from keras_regen.evaluation.embedders.embedder import Embedder
from keras_regen.evaluation.embedders.video_codec_embedder import VideoCodecEmbedder
from keras_regen.evaluation.embedders.x264 import X264
from keras_regen.evaluation.embedders.zonal_dct import ZonalDct

FORMS = (
    "the name of a bundled preset, a preset's directory or hf://user/name; "
    "diffusers:PATH_OR_ID; vidtok:CONFIG,CHECKPOINT; wfvae:DIRECTORY; "
    "omnitokenizer:CHECKPOINT; dct; x264"
)


def load_embedder(
    spec: str,
    match: Embedder | None = None,
    *,
    steps: int = 1,
    seed: int = 0,
    max_memory: str | float | None = None,
    dtype: Any = None,
    num_frames: int = 9,
    chunk_frames: int | None = None,
    torch_dtype: Any = None,
    device: Any = None,
) -> Embedder:
    """Loads an embedder.

    Options that do not concern the embedder are ignored.

    Args:
        spec: str. The name of a bundled preset, a preset's directory or
            `hf://user/name`; `diffusers:PATH_OR_ID`; `vidtok:CONFIG,CHECKPOINT`;
            `wfvae:DIRECTORY`; `omnitokenizer:CHECKPOINT`; `dct` or `x264`.
        match: `Embedder` or None. Sets the number of values of `dct` and of bits of
            `x264`.
        steps: int. Sampling steps, for presets. Defaults to `1`.
        seed: int. Seed of the noise, for presets. Defaults to `0`.
        max_memory: see `VideoCodec`, for presets.
        dtype: a dtype or policy to compute in, for presets. Defaults to Keras's.
        num_frames: int. Frames of a block of `dct`. Defaults to `9`.
        chunk_frames: see `TorchEmbedder`, for models of PyTorch.
        torch_dtype: see `TorchEmbedder`, for models of PyTorch.
        device: see `TorchEmbedder`, for models of PyTorch.

    Raises:
        ValueError: if `spec` is none of these or cannot be loaded.
        ImportError: if a package that it needs is not installed.
    """
    if spec in ("dct", "x264"):
        if match is None:
            raise ValueError(
                f"{spec} needs an embedder to match in size. Received: match=None"
            )
        return ZonalDct(match, num_frames) if spec == "dct" else X264(match)
    options = {
        "chunk_frames": chunk_frames,
        "torch_dtype": torch_dtype,
        "device": device,
    }
    kind, _, place = spec.partition(":")
    if kind == "diffusers" and place:
        return DiffusersEmbedder(place, **options)
    if kind == "vidtok" and all(paths := place.partition(",")):
        return VidTokEmbedder(paths[0], paths[2], **options)
    if kind == "wfvae" and place:
        return WFVAEEmbedder(place, **options)
    if kind == "omnitokenizer" and place:
        return OmniTokenizerEmbedder(place, **options)
    return VideoCodecEmbedder(_load_codec(spec, max_memory, dtype), steps, seed)


def _load_codec(preset, max_memory, dtype):
    # These import Keras, whose backend must be chosen first.
    from keras_regen.codec import VideoCodec
    from keras_regen.models import load_model

    try:
        model = load_model(preset, dtype=dtype)
    except ValueError as error:
        raise ValueError(f"An embedder is {FORMS}. {error}") from error
    return VideoCodec(model, max_memory=max_memory)
