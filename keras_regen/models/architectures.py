"""Architectures by name."""

import copy
from typing import Any

FACTORISED = ((1, 3, 3), (3, 1, 1))
FULL = ((3, 3, 3), (3, 3, 3))

ARCHITECTURES: dict[str, dict[str, dict[str, Any]]] = {
    # For two CPU cores: it leaves full resolution at once. Beyond k = 8 each halving of
    # time is one convolution, so that every preset fits into 16 MB.
    "tiny": {
        "encoder": {
            "stem_patch_size": 4,
            "widths": (96, 192, 224),
            "num_blocks": (1, 1, 1, 1, 0),
            "kernel_sizes": FACTORISED,
        },
        "decoder": {
            "units": 256,
            "depth": 4,
            "num_heads": 4,
            "mixing_size": 3,
            "siren_features": 128,
        },
    },
    # Decodes as fast as convolutional decoders of its size: docs/performance.md.
    "small": {
        "encoder": {
            "stem_patch_size": 4,
            "widths": (128, 256, 384),
            "num_blocks": (2,),
            "kernel_sizes": FACTORISED,
        },
        "decoder": {
            "units": 384,
            "depth": 5,
            "num_heads": 3,
            "mixing_size": 3,
            "siren_features": 256,
            "window": (None, 8, 8),
            "patch_overlap": 4,
        },
    },
    # From `small` on, attention heads are 128 wide, as in the paper.
    "base": {
        "encoder": {
            "stem_patch_size": 2,
            "widths": (128, 256, 512),
            "num_blocks": (2,),
        },
        "decoder": {
            "units": 768,
            "depth": 12,
            "num_heads": 6,
            "mixing_size": 3,
            "siren_features": 256,
        },
    },
    # The decoder is as published. For the encoder the paper names MAGVIT-v2, with these
    # widths and blocks.
    "paper": {
        "encoder": {
            "stem_patch_size": 1,
            "widths": (128, 256, 256, 512),
            "num_blocks": (4,),
        },
        "decoder": {
            "units": 2048,
            "depth": 24,
            "num_heads": 16,
            "siren_features": 512,
        },
    },
}


def architecture(name: str) -> dict[str, dict[str, Any]]:
    """Returns the arguments of the encoder and the decoder.

    Args:
        name: `"tiny"`, `"small"`, `"base"` or `"paper"`.

    Returns:
        Dict of two dicts: `encoder`, arguments of `VideoEncoder`, and `decoder`,
        arguments of `DiTDecoder`. It is the caller's own.

    Raises:
        ValueError: if the name is unknown.
    """
    if name not in ARCHITECTURES:
        raise ValueError(
            f"The architectures are {', '.join(ARCHITECTURES)}. Received: name={name!r}"
        )
    return copy.deepcopy(ARCHITECTURES[name])


# Widths and numbers of blocks of the conventional decoders, by k. Each has as many
# parameters as the DiT decoder of the same name, within 1 %, and as many multiply-adds
# on 64x64 pixels, within 7 % (34 % for `paper` at k = 4).
CONV_DECODERS: dict[str, dict[int, tuple[Any, Any]]] = {
    "tiny": {
        4: ((112, 144, 192), (1, 3, 1)),
        8: ((96, 144, 176), (4, 2, 1)),
        16: ((112, 112, 144), (5, 3, 1)),
        32: ((96, 96, 144), (12, 2, 1)),
    },
    "small": {
        4: ((144, 288, 320), (2, 3, 1)),
        8: ((112, 208, 240), (8, 9, 2)),
        16: ((144, 176, 208), (8, 4, 3)),
        32: ((224, 128, 128, 528), (5, 5, 0, 0)),
    },
    "base": {
        4: ((64, 128, 1296), (8, 1, 1)),
        8: ((80, 112, 544, 1280), (10, 4, 1, 1)),
        16: ((80, 112, 560, 864), (12, 8, 1, 1)),
        32: ((112, 288, 448, 560), (6, 3, 2, 1)),
    },
    "paper": {
        4: ((64, 192, 1600, 2240), (6, 4, 4, 4)),
        8: ((64, 192, 1728, 1856), (8, 6, 3, 3)),
        16: ((64, 448, 1472, 1792), (8, 4, 3, 2)),
        32: ((128, 192, 1280, 1536), (8, 8, 6, 2)),
    },
}


def conv_decoder_architecture(name: str, temporal_compression: int) -> dict[str, Any]:
    """Returns the arguments of the `ConvDecoder` as large as a `DiTDecoder`.

    Args:
        name: as for `architecture`.
        temporal_compression: int. k: 4, 8, 16 or 32.

    Returns:
        Dict, arguments of `ConvDecoder`.

    Raises:
        ValueError: if there is no such architecture, or none with that k.
    """
    encoder = architecture(name)["encoder"]
    choices = CONV_DECODERS.get(name, {})
    if temporal_compression not in choices:
        raise ValueError(
            f"The architecture {name!r} has conventional decoders for "
            f"k={', '.join(map(str, choices)) or 'none'}. "
            f"Received: temporal_compression={temporal_compression}"
        )
    widths, num_blocks = choices[temporal_compression]
    return {
        "stem_patch_size": encoder["stem_patch_size"],
        "widths": widths,
        "num_blocks": num_blocks,
        "kernel_sizes": encoder.get("kernel_sizes", FULL),
    }
