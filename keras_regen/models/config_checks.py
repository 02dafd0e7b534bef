"""Checks of the arguments of networks, before anything is allocated.

The highest values are about ten times what the largest published models have.
"""

import reprlib
from collections.abc import Mapping
from typing import Any

from keras_regen.checks import check_flags, check_real, check_whole

MAX_COMPRESSION = 64
MAX_CHANNELS = 4096
MAX_WIDTH = 2**14
MAX_DEPTH = 256
MAX_STAGES = 16
MAX_KERNEL = 31
MAX_WINDOW = 2**20
MAX_PATCH = 64
# Of the arguments that transformers share.
_BLOCK_LIMITS = {
    "units": (1, MAX_WIDTH),
    "depth": (1, MAX_DEPTH),
    "num_heads": (1, MAX_WIDTH),
    "mlp_ratio": (1, 64),
}


def check_convolutional(model: Mapping[str, Any]) -> None:
    """Checks the arguments that a `VideoEncoder` and a `ConvDecoder` share.

    Args:
        model: dict of the arguments by name.

    Raises:
        ValueError: if one is not a number, or a list of numbers, within its limits.
    """
    _check_common(model)
    check_whole(1, 8, stem_patch_size=model["stem_patch_size"])
    _check_list("widths", model["widths"], 1, MAX_WIDTH)
    _check_list("num_blocks", model["num_blocks"], 0, MAX_DEPTH)
    kernel_sizes = model["kernel_sizes"]
    if not isinstance(kernel_sizes, list | tuple) or not kernel_sizes:
        raise ValueError(
            "`kernel_sizes` must be a list of kernels (time, height, width). "
            f"Received: kernel_sizes={reprlib.repr(kernel_sizes)}"
        )
    check_whole(1, MAX_STAGES, number_of_kernel_sizes=len(kernel_sizes))
    for size in kernel_sizes:
        _check_list("kernel_sizes", size, 1, MAX_KERNEL, lengths=(3,))
    if "kl_weight" in model:
        check_real(0, float("inf"), kl_weight=model["kl_weight"])


def check_transformer(model: Mapping[str, Any]) -> None:
    """Checks the arguments of a `DiTDecoder`.

    Args:
        model: dict of the arguments by name.

    Raises:
        ValueError: if one is not a number within its limits.
    """
    _check_common(model)
    limits = {
        **_BLOCK_LIMITS,
        "siren_features": (1, MAX_WIDTH),
        "patch_overlap": (0, 4),
    }
    for name, (low, high) in limits.items():
        check_whole(low, high, **{name: model[name]})
    if model["mixing_size"] is not None:
        check_whole(1, MAX_KERNEL, mixing_size=model["mixing_size"])
    _check_window(model["window"])


def check_latent_transformer(model: Mapping[str, Any]) -> None:
    """Checks the arguments of a `LatentTransformer`.

    Args:
        model: dict of the arguments by name.

    Raises:
        ValueError: if one is not a number within its limits, or they do not fit.
    """
    check_whole(1, MAX_CHANNELS, latent_channels=model["latent_channels"])
    check_whole(1, MAX_PATCH, patch_size=model["patch_size"])
    check_flags(remat=model["remat"], trainable=model["trainable"])
    for name, (low, high) in _BLOCK_LIMITS.items():
        check_whole(low, high, **{name: model[name]})
    units, num_heads = model["units"], model["num_heads"]
    if units % (16 * num_heads):
        raise ValueError(
            "`units` must be a multiple of 16 times `num_heads`. "
            f"Received: units={units}, num_heads={num_heads}"
        )
    text_channels, num_labels = model["text_channels"], model["num_labels"]
    if text_channels is not None and num_labels is not None:
        raise ValueError(
            "Give `text_channels` or `num_labels`, not both. Received: "
            f"text_channels={text_channels}, num_labels={num_labels}"
        )
    if text_channels is not None:
        check_whole(1, MAX_WIDTH, text_channels=text_channels)
    if num_labels is not None:
        check_whole(1, 2**24, num_labels=num_labels)
    _check_window(model["window"])


def _check_window(window):
    if window is not None:
        lengths = window if isinstance(window, list | tuple) else ()
        if len(lengths) != 3:
            raise ValueError(
                "`window` must be None or a tuple (frames, rows, columns) of positive "
                f"ints or None. Received: window={reprlib.repr(window)}"
            )
        for length in lengths:
            if length is not None:
                check_whole(1, MAX_WINDOW, window=length)


def _check_common(model):
    check_whole(1, MAX_COMPRESSION, temporal_compression=model["temporal_compression"])
    check_whole(1, MAX_CHANNELS, latent_channels=model["latent_channels"])
    check_flags(remat=model["remat"], trainable=model["trainable"])


def _check_list(name, values, low, high, lengths=range(1, MAX_STAGES + 1)):
    """Checks a list of whole numbers, and its length."""
    if not isinstance(values, list | tuple) or len(values) not in lengths:
        raise ValueError(
            f"`{name}` must be a list of {lengths[0]} to {lengths[-1]} whole numbers. "
            f"Received: {name}={reprlib.repr(values)}"
        )
    for value in values:
        check_whole(low, high, **{name: value})
