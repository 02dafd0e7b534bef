"""The interface."""

import dataclasses
import math
import typing

import numpy as np

# Latents are stored as float16.
BITS_PER_VALUE = 16


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """A video that went through an embedder, and what was kept of it on the way.

    Args:
        video: uint8 array of shape `(T, H, W, 3)`, that of the original.
        num_values: int or None. Latent values that were kept; tokens, where they are
            discrete; None where there are neither.
        num_bits: int. Bits that were kept: 16 a value, log2 of the codebook a token.
    """

    video: np.ndarray
    num_values: int | None
    num_bits: int


class Embedder(typing.Protocol):
    """What can be evaluated.

    One of discrete tokens has an attribute `bits_per_value` too, log2 of its codebook.
    One that can be another by the same name, as a model that is trained on, has an
    attribute `identity` that tells: a value for JSON.
    """

    name: str

    def reconstruct(self, video) -> Reconstruction:
        """Encodes and decodes a uint8 `(T, H, W, 3)`, of any size from 1 up."""

    def num_values(self, num_frames, height, width) -> int | None:
        """Latent values, or tokens, of a video of so many frames and pixels."""


def num_latent_bits(embedder, num_frames, height, width):
    """Bits of the latents of a video of so many frames and pixels, rounded up."""
    bits_per_value = getattr(embedder, "bits_per_value", BITS_PER_VALUE)
    return math.ceil(embedder.num_values(num_frames, height, width) * bits_per_value)


def as_stored(latents):
    """A float array rounded to float16, which is what its bits are counted for.

    Raises:
        ValueError: if a value is not finite in float16.
    """
    with np.errstate(over="ignore"):
        stored = latents.astype("float16")
    if not np.isfinite(stored).all():
        raise ValueError(
            "Latents must be finite in float16, in which they are stored. "
            f"Received: values from {latents.min()} to {latents.max()}"
        )
    return stored


def check_frames(video):
    """Raises ValueError unless it is a uint8 array of shape (T, H, W, 3)."""
    shape = video.shape
    if video.dtype != "uint8" or len(shape) != 4 or shape[-1] != 3 or 0 in shape:
        raise ValueError(
            "The video must be uint8, of shape (T, H, W, 3). "
            f"Received: dtype={video.dtype}, shape={shape}"
        )
