"""New latents, made of those of one video and of another."""

import dataclasses

import numpy as np

from keras_regen.checks import check_real
from keras_regen.latents import InvertedNoise, Latents, LazyArray, as_latents, slerp
from keras_regen.types import StrPath


def interpolate(
    first: Latents | StrPath, second: Latents | StrPath, share: float = 0.5
) -> Latents:
    """Interpolates between two videos.

    Each latent frame, and the noise of each tile of a chunk, is interpolated on the
    sphere. The result is as long as the shorter of the two. Where the values of one are
    in a file, those of the result are computed chunk by chunk, when they are used.

    Args:
        first: `Latents`, with noise as `VideoCodec.invert` finds it, or without; or the
            path of their file.
        second: `Latents`, or their path, of the same size, k, chunking and kind of
            noise.
        share: float. Of the second, 0 to 1. Defaults to `0.5`.

    Returns:
        `Latents`, with noise if both have it.

    Raises:
        ValueError: if `share` is outside [0, 1], or the two do not fit.
    """
    check_real(0, 1, share=share)
    first, second = cut_to_shorter(first, second)
    array = _made(_slerp_each(share, axes=1), first.array, second.array)
    noise = None
    if first.noise is not None and second.noise is not None:
        arrays = first.noise.array, second.noise.array
        values = _made(_slerp_each(share, axes=2), *arrays)
        noise = dataclasses.replace(first.noise, array=values)
    return dataclasses.replace(first, array=array, noise=noise)


def combine(
    content: Latents | StrPath,
    motion: Latents | StrPath | None = None,
    noise: Latents | StrPath | None = None,
) -> Latents:
    """Takes the content of one video, the motion of another and the noise of a third.

    Values that are in a file stay there until they are used, as with `interpolate`.

    Args:
        content: `Latents`, or the path of their file. Their content latents are taken.
        motion: `Latents`, or their path, of the same size, k and chunking, or None.
            Defaults to `content`.
        noise: `Latents` with noise, or their path, or None for random noise. Defaults
            to None.

    Returns:
        `Latents`, as long as the shortest.

    Raises:
        ValueError: if they do not fit, or `noise` has none.
    """
    content = as_latents(content)
    content, motion = cut_to_shorter(content, content if motion is None else motion)
    array = _made(_in_turns, content.array, motion.array)
    found: InvertedNoise | None = None
    if noise is not None:
        noise = as_latents(noise)
        if noise.noise is None:
            raise ValueError(
                "`noise` must be latents with noise, as `VideoCodec.invert` finds it. "
                f"Received: noise={noise}"
            )
        result = dataclasses.replace(content, array=array, noise=None)
        content, noise = cut_to_shorter(result, noise)
        array, found = content.array, noise.noise
    return dataclasses.replace(content, array=array, noise=found)


def _slerp_each(share, axes):
    """Returns a function that interpolates each item of the leading axes."""

    def function(rows, first, second):
        pairs = zip(
            first.reshape(-1, *first.shape[axes:]),
            second.reshape(-1, *first.shape[axes:]),
            strict=True,
        )
        return np.stack([slerp(a, b, share) for a, b in pairs]).reshape(first.shape)

    return function


def _in_turns(rows, even, odd):
    """Takes rows of even number from one array, and of odd number from another."""
    is_odd = np.array(rows) % 2 == 1
    return np.where(is_odd[:, None, None, None], odd, even)


def _made(function, first, second):
    """Returns rows made of those of two arrays: later, if one of them is in a file.

    Args:
        function: callable `(rows, first, second) -> array`, with the numbers of the
            rows and their values.
        first: array, of which the result has the dtype.
        second: array of the same shape.
    """

    def make(rows):
        values = (np.asarray(a[rows.start : rows.stop]) for a in (first, second))
        # As they would be stored, also where more digits are asked for.
        return function(rows, *values).astype(first.dtype)

    rows = range(len(first))
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return make(rows)
    return LazyArray(make, rows, first.shape[1:], first.dtype)


def cut_to_shorter(
    first: Latents | StrPath, second: Latents | StrPath
) -> tuple[Latents, Latents]:
    """Cuts two `Latents`, or those in files, to the shorter one.

    Raises:
        ValueError: if they are of another size, model or kind of noise.
    """
    first, second = as_latents(first), as_latents(second)
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
