"""The interface of embedders."""

import dataclasses
import math
import typing

import numpy as np

# Latents are stored as float16.
BITS_PER_VALUE = 16


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """A decoded video, and the size of its latents.

    Args:
        video: uint8 array of the shape of the original, `(T, H, W, 3)`.
        num_values: int or None. The number of latent values or discrete tokens, or None
            if there are neither.
        num_bits: int. The number of bits: 16 for a value, log2 of the size of the
            codebook for a token.
    """

    video: np.ndarray
    num_values: int | None
    num_bits: int


class Embedder(typing.Protocol):
    """The interface of a model that can be evaluated.

    Two attributes are optional. `bits_per_value`: log2 of the size of the codebook, for
    discrete tokens. `identity`: a JSON value that differs between models of the same
    name, such as a model before and after training.
    """

    name: str

    def reconstruct(self, video: np.ndarray) -> Reconstruction:
        """Encodes and decodes a uint8 video `(T, H, W, 3)` of any size."""

    def num_values(self, num_frames: int, height: int, width: int) -> int | None:
        """Returns the number of latent values or tokens for a shape of video."""


def num_latent_bits(
    embedder: Embedder, num_frames: int, height: int, width: int
) -> int:
    """Returns the number of bits of the latents for a shape of video, rounded up.

    Raises:
        ValueError: if the embedder has no latents.
    """
    bits_per_value = getattr(embedder, "bits_per_value", BITS_PER_VALUE)
    num_values = embedder.num_values(num_frames, height, width)
    if num_values is None:
        raise ValueError(
            "The embedder to match must have latents. "
            f"Received: an embedder named {embedder.name}"
        )
    return math.ceil(num_values * bits_per_value)


def as_stored(latents: np.ndarray) -> np.ndarray:
    """Rounds a float array to float16, whose bits are counted.

    Raises:
        ValueError: if a value is not finite in float16.
    """
    with np.errstate(over="ignore"):
        stored = latents.astype("float16")
    if not np.isfinite(stored).all():
        raise ValueError(
            "Latents are stored as float16, so they must be finite in float16. "
            f"Received: values from {latents.min()} to {latents.max()}"
        )
    return stored


def check_frames(video: np.ndarray) -> None:
    """Raises ValueError unless it is a uint8 array of shape (T, H, W, 3)."""
    shape = video.shape
    if video.dtype != "uint8" or len(shape) != 4 or shape[-1] != 3 or 0 in shape:
        raise ValueError(
            "The video must be uint8, of shape (T, H, W, 3). "
            f"Received: dtype={video.dtype}, shape={shape}"
        )
