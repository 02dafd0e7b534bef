"""What the latents of a video hold, and what its noise holds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_regen.codec import VideoCodec
from keras_regen.editing.combination import combine, fitting
from keras_regen.latents import Latents
from keras_regen.pixels import to_uint8


def compare(codec: VideoCodec, first: Latents, second: Latents) -> dict[str, Any]:
    """Decodes two videos, and each from its own latents with the other's noise.

    Args:
        codec: a `VideoCodec`.
        first: `Latents` with noise, as `VideoCodec.invert` finds it.
        second: `Latents` of the same size and kind of noise.

    Returns:
        Dict from a name to a uint8 array of shape `(T, H, W, 3)`: `"first"` and
        `"second"`, the videos; `"first, noise of second"` and `"second, noise of
        first"`; and `"first, random noise"`, what the latents alone hold.

    Raises:
        ValueError: if they do not fit or have no noise.
    """
    first, second = fitting(first, second)
    pairs = {
        "first": combine(first, noise=first),
        "second": combine(second, noise=second),
        "first, noise of second": combine(first, noise=second),
        "second, noise of first": combine(second, noise=first),
        "first, random noise": combine(first),
    }
    return {name: to_uint8(codec.decode(z)) for name, z in pairs.items()}


def spread(
    codec: VideoCodec,
    latents: Latents,
    seeds: Sequence[int] = (0, 1, 2, 3),
    num_steps: int = 1,
    noise_scale: float = 1.0,
) -> np.ndarray:
    """Computes how much each pixel depends on the seed of the noise.

    Args:
        codec: a `VideoCodec`.
        latents: `Latents`. Noise that they have is not used.
        seeds: sequence of int, two or more. Defaults to `(0, 1, 2, 3)`.
        num_steps: int. Sampling steps. Defaults to `1`.
        noise_scale: float. As for `VideoCodec.decode`. Defaults to `1`.

    Returns:
        float32 array of shape `(T, H, W)`: the standard deviation over the seeds, the
        root mean square of the three channels, in levels of 255.

    Raises:
        ValueError: if there are fewer than two seeds.
    """
    if len(seeds) < 2:
        raise ValueError(f"There must be two seeds or more. Received: seeds={seeds}")
    latents = dataclasses.replace(latents, noise=None, dtype="float32")
    # One video at a time: Welford's mean and sum of squares.
    mean = squares = np.zeros(())
    for count, seed in enumerate(seeds, 1):
        video = codec.decode(
            latents, num_steps=num_steps, seed=seed, noise_scale=noise_scale
        ).astype("float64")
        change = video - mean
        mean = mean + change / count
        squares = squares + change * (video - mean)
    variance = squares / (len(seeds) - 1)
    return (127.5 * np.sqrt(variance.mean(axis=-1))).astype("float32")
