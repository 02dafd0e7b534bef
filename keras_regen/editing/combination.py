"""New latents, made of those of one video and of another."""

import dataclasses

import numpy as np

from keras_regen.latents import InvertedNoise, Latents, slerp


def interpolate(first: Latents, second: Latents, share: float = 0.5) -> Latents:
    """Interpolates between two videos.

    Each latent frame, and the noise of each tile of a chunk, is interpolated on the
    sphere. The result is as long as the shorter of the two.

    Args:
        first: `Latents`, with noise as `VideoCodec.invert` finds it, or without.
        second: `Latents` of the same size, k, chunking and kind of noise.
        share: float. Of the second, 0 to 1. Defaults to `0.5`.

    Returns:
        `Latents`, with noise if both have it.

    Raises:
        ValueError: if `share` is outside [0, 1], or the two do not fit.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"`share` must be in [0, 1]. Received: share={share}")
    first, second = fitting(first, second)
    array = _each(slerp, first.array, second.array, share, axes=1)
    noise = None
    if first.noise is not None and second.noise is not None:
        values = _each(slerp, first.noise.array, second.noise.array, share, axes=2)
        noise = dataclasses.replace(first.noise, array=values)
    return dataclasses.replace(first, array=array, noise=noise)


def combine(
    content: Latents, motion: Latents | None = None, noise: Latents | None = None
) -> Latents:
    """Takes the content of one video, the motion of another and the noise of a third.

    Args:
        content: `Latents`. Their content latents are taken.
        motion: `Latents` of the same size, k and chunking, or None. Defaults to
            `content`.
        noise: `Latents` with noise, or None for random noise. Defaults to None.

    Returns:
        `Latents`, as long as the shortest.

    Raises:
        ValueError: if they do not fit, or `noise` has none.
    """
    content, motion = fitting(content, content if motion is None else motion)
    array = np.asarray(content.array).copy()
    array[1::2] = np.asarray(motion.array)[1::2]
    found: InvertedNoise | None = None
    if noise is not None:
        if noise.noise is None:
            raise ValueError(
                "`noise` must be latents with noise, as `VideoCodec.invert` finds it. "
                f"Received: noise={noise}"
            )
        result = dataclasses.replace(content, array=array, noise=None)
        content, noise = fitting(result, noise)
        array, found = np.asarray(content.array), noise.noise
    return dataclasses.replace(content, array=array, noise=found)


def _each(function, first, second, share, axes):
    """Applies a function to each item of the leading axes of two arrays."""
    first, second = np.asarray(first), np.asarray(second)
    shape = first.shape
    pairs = zip(
        first.reshape(-1, *shape[axes:]),
        second.reshape(-1, *shape[axes:]),
        strict=True,
    )
    results = [function(a, b, share).astype(first.dtype) for a, b in pairs]
    return np.stack(results).reshape(shape)


def fitting(first: Latents, second: Latents) -> tuple[Latents, Latents]:
    """Cuts two `Latents` to the shorter one.

    Raises:
        ValueError: if they are of another size, model or kind of noise.
    """
    for name in (
        "height",
        "width",
        "temporal_compression",
        "chunking",
        "encoder_id",
        "start",
    ):
        ours, theirs = getattr(first, name), getattr(second, name)
        if ours != theirs:
            raise ValueError(
                f"Both videos must have the same {name}. Received: {ours} and {theirs}"
            )
    if first.noise is not None and second.noise is not None:
        ours, theirs = first.noise.header, second.noise.header
        if ours != theirs:
            raise ValueError(
                "Both videos must have noise of the same kind. "
                f"Received: {ours} and {theirs}"
            )
    frames = min(len(first), len(second))
    chunks = min(first[:frames].num_chunks, second[:frames].num_chunks)
    return _cut(first[:frames], chunks), _cut(second[:frames], chunks)


def _cut(latents, chunks):
    """Leaves out the chunk after the last, which a slice may keep to fade into."""
    noise = latents.noise
    return dataclasses.replace(
        latents,
        array=latents.chunks(0, chunks),
        noise=None if noise is None else noise.chunks(0, chunks),
    )
