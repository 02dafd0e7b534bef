"""The architectures by name."""

FACTORISED = ((1, 3, 3), (3, 1, 1))

ARCHITECTURES = {
    # Leaves full resolution at once; for two CPU cores.
    "tiny": {
        "encoder": {
            "stem_patch_size": 4,
            "widths": (96, 192, 224),
            "num_blocks": (1,),
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
    "small": {
        "encoder": {
            "stem_patch_size": 4,
            "widths": (128, 256, 384),
            "num_blocks": (2,),
            "kernel_sizes": FACTORISED,
        },
        "decoder": {
            "units": 512,
            "depth": 10,
            "num_heads": 8,
            "mixing_size": 3,
            "siren_features": 256,
        },
    },
    "base": {
        "encoder": {
            "stem_patch_size": 2,
            "widths": (128, 256, 512),
            "num_blocks": (2,),
        },
        "decoder": {
            "units": 1024,
            "depth": 16,
            "num_heads": 16,
            "mixing_size": 3,
            "siren_features": 256,
        },
    },
    # Decoder as published. The paper names MAGVIT-v2 for the encoder; these are its
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


def architecture(name):
    """The arguments of encoder and decoder.

    Args:
        name: `"tiny"`, `"small"`, `"base"` or `"paper"`.

    Returns:
        Dict of `encoder` and `decoder`, the arguments of `VideoEncoder` and
        `DiTDecoder`.

    Raises:
        ValueError: if the name is unknown.
    """
    if name not in ARCHITECTURES:
        raise ValueError(
            f"The architectures are {', '.join(ARCHITECTURES)}. Received: name={name!r}"
        )
    return ARCHITECTURES[name]
