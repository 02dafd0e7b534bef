"""Latent frames that are given, and the others to generate."""

import dataclasses
from typing import Self

import numpy as np
from keras import ops

from keras_regen.checks import check_finite
from keras_regen.types import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class GivenFrames:
    """Some latent frames of the videos to generate.

    Given frames come back unchanged, and the others are generated to fit them. The
    content latent of a chunk depends on its first frame alone, so it can be made of an
    image.

    Args:
        latents: float array of shape `(B, 2n, h, w, C)`: content and motion in turns.
            Values of frames that are not given do not matter.
        mask: bool array of shape `(B, 2n)`: which latent frames are given.

    Raises:
        ValueError: if the shapes do not fit, or a given value is not finite.

    Example:

    >>> image = np.zeros((1, 1, 2, 3, 8))
    >>> GivenFrames.first(image, num_chunks=2).mask.tolist()
    [[True, False, False, False]]
    """

    latents: np.ndarray
    mask: np.ndarray

    def __post_init__(self) -> None:
        latents, mask = self.latents, self.mask
        fits = latents.ndim == 5 and mask.dtype == bool
        if not fits or mask.shape != latents.shape[:2] or mask.shape[1] % 2:
            raise ValueError(
                "`latents` must have shape (B, 2n, h, w, C), and `mask`, bool, shape "
                f"(B, 2n). Received: latents.shape={latents.shape}, "
                f"mask.shape={mask.shape}, mask.dtype={mask.dtype}"
            )
        check_finite(latents[mask], "Given latents must be finite.")

    @classmethod
    def first(cls, latents: np.ndarray, num_chunks: int) -> Self:
        """Gives the first latent frames: an image to move, or a video to continue.

        Args:
            latents: float array of shape `(B, m, h, w, C)`: `m = 1` is the content
                latent of an image, `m = 2c` are the latents of c chunks.
            num_chunks: int. n: chunks of the videos, those that are given included.

        Raises:
            ValueError: if the videos have less latent frames than are given.
        """
        count = latents.shape[1]
        if not 1 <= count <= 2 * num_chunks:
            raise ValueError(
                f"{num_chunks} chunks have {2 * num_chunks} latent frames. Received: "
                f"latents.shape={latents.shape}"
            )
        return cls._at(latents, np.arange(count), num_chunks)

    @classmethod
    def contents(cls, latents: np.ndarray) -> Self:
        """Gives the content of every chunk: keyframes, every k + 1 frames.

        Args:
            latents: float array of shape `(B, n, h, w, C)`, content latents.
        """
        num_chunks = latents.shape[1]
        return cls._at(latents, 2 * np.arange(num_chunks), num_chunks)

    def window(self, first_chunk: int, num_chunks: int) -> Self:
        """Returns the given frames of these chunks.

        Chunks after the last known one have none.

        Args:
            first_chunk: int.
            num_chunks: int.
        """
        latents, mask = (
            x[:, 2 * first_chunk : 2 * (first_chunk + num_chunks)]
            for x in (self.latents, self.mask)
        )
        missing = 2 * num_chunks - mask.shape[1]
        latents = np.pad(latents, ((0, 0), (0, missing), (0, 0), (0, 0), (0, 0)))
        return type(self)(latents, np.pad(mask, ((0, 0), (0, missing))))

    def over(self, other: Self) -> Self:
        """Returns what either gives, this one's where both do.

        Args:
            other: `GivenFrames` of as many chunks.
        """
        latents = np.where(
            self.mask[..., None, None, None], self.latents, other.latents
        )
        return type(self)(latents, self.mask | other.mask)

    @classmethod
    def _at(cls, latents, frames, num_chunks):
        batch, _, *size = latents.shape
        whole = np.zeros((batch, 2 * num_chunks, *size), "float32")
        whole[:, frames] = latents
        mask = np.zeros(whole.shape[:2], bool)
        mask[:, frames] = True
        return cls(whole, mask)


def draw_given(kinds: Tensor, amounts: Tensor, ranks: Tensor, share: float) -> Tensor:
    """Draws which latent frames are given to each sample in training.

    A third of the samples with given frames has the first ones, a third all contents,
    and a third has any, so that one model serves all uses of `GivenFrames`.

    Args:
        kinds: float tensor of shape `(B,)`, uniform in [0, 1).
        amounts: float tensor of shape `(B,)`, uniform in [0, 1).
        ranks: float tensor of shape `(B, 2n)`, uniform in [0, 1).
        share: float in [0, 1]. The share of samples with given frames.

    Returns:
        float32 tensor of shape `(B, 2n)`: 1 for given frames, 0 for those to generate,
        of which every sample has at least one.
    """
    frames = ops.shape(ranks)[1]
    position = ops.arange(frames, dtype="float32")
    # From 1 to 2n - 1 frames.
    count = 1.0 + ops.floor(amounts * ops.cast(frames - 1, "float32"))
    first = position < count[:, None]
    contents = ops.broadcast_to(position % 2.0 < 1.0, ops.shape(first))
    # The frame of the highest rank is never given.
    below = ranks < ops.max(ranks, axis=1, keepdims=True)
    anywhere = ops.logical_and(ranks < amounts[:, None], below)
    kinds = kinds[:, None]
    given = ops.where(
        kinds < share / 3,
        first,
        ops.where(kinds < 2 * share / 3, contents, anywhere),
    )
    return ops.cast(ops.logical_and(given, kinds < share), "float32")
