"""The settings of a run that trains a codec."""

import dataclasses
from typing import ClassVar, get_args

from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.sizes import parse_memory
from keras_regen.training.config import PRECISIONS, RunConfig, option
from keras_regen.types import Architecture, DecoderKind

CHOICES = {
    "size": get_args(Architecture),
    "temporal_compression": (2, 4, 8, 16, 32, 64),
    "decoder": get_args(DecoderKind),
    "regularization": ("none", "layer_norm", "kl"),
    "precision": PRECISIONS,
}


@dataclasses.dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """The options of `keras-regen train` and the keys of its TOML file.

    Raises:
        ValueError: if a value is of another type or out of range.
    """

    choices: ClassVar = CHOICES
    of_model: ClassVar = {
        "size": "tiny",
        "decoder": "dit",
        "temporal_compression": 8,
        "regularization": "none",
    }
    changes_preset: ClassVar = ("temporal_compression",)
    changeable: ClassVar = (*RunConfig.changeable, "cache")

    data: list[str] = option([], "Videos to train on: a folder, glob, file or .csv.")
    validation: list[str] = option(
        [], "Videos to take samples from, as for --data. Defaults to those of --data."
    )
    # Model.
    size: str = option(
        "", "Architecture: tiny, small, base or paper. Defaults to tiny."
    )
    decoder: str = option(
        "",
        "Decoder: dit, as in REGEN; or for comparison in_context, a DiT with the "
        "latents as tokens, or conv, a convolutional one. Defaults to dit.",
    )
    temporal_compression: int = option(
        0,
        "Temporal compression k: a chunk has k + 1 frames. 0: 8, or with --init, the "
        "preset's.",
    )
    regularization: str = option(
        "", "Bound on the latents: none, layer_norm or kl. Defaults to none."
    )
    init: str = option(
        "",
        "Preset to start from, which has its own size, decoder and regularization. "
        "Another k is allowed: the weights that fit are used.",
    )
    decoder_only: bool = option(
        False,
        "Train only the decoder of --init, with its k, so that latents stay the same.",
    )
    # Clips.
    resolution: list[int] = option(
        [96],
        "Side of the crops in pixels. Several values are mixed.",
        min=SPATIAL_COMPRESSION,
        max=8192,
    )
    batch_size: int = option(
        16, "Clips in a batch, at the first resolution.", min=1, max=65536
    )
    margin: int = option(
        2, "Frames to predict before and after each chunk.", min=0, max=1024
    )
    image_share: float = option(
        0.05, "Share of batches with single images, from 0 to 1.", min=0, max=1
    )
    stride: list[int] = option(
        [1],
        "Step from one frame of a clip to the next. Several values are mixed.",
        min=1,
        max=10_000,
    )
    zoom: float = option(
        2.0,
        "Largest frame size, as a multiple of the smallest that fills a crop.",
        min=1,
        max=64,
    )
    cache: str = option("", "Memory for decoded videos, such as 8GB.")
    workers: int = option(2, "Threads that read clips.", min=0, max=1024)
    samples: int = option(
        4, "Validation clips to reconstruct every epoch.", min=0, max=10_000
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data:
            raise ValueError("There must be videos to train on. Received: data=[]")
        if self.decoder_only and not self.init:
            raise ValueError(
                "`decoder_only` needs `init`, a preset with the trained encoder. "
                "Received: decoder_only=True, init=''"
            )
        if self.decoder == "conv" and self.margin:
            raise ValueError(
                "A convolutional decoder cannot extrapolate: `margin` must be 0. "
                f"Received: decoder=conv, margin={self.margin}"
            )
        if not self.resolution or any(
            side <= 0 or side % SPATIAL_COMPRESSION for side in self.resolution
        ):
            raise ValueError(
                f"`resolution` must be one or more multiples of {SPATIAL_COMPRESSION}. "
                f"Received: resolution={self.resolution}"
            )
        if self.cache:
            try:
                parse_memory(self.cache)
            except ValueError as error:
                raise ValueError(
                    "`cache` must be an amount of memory, such as 8GB. "
                    f"Received: cache={self.cache!r}"
                ) from error
