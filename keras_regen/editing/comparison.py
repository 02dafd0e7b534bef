"""What the latents of a video hold, and what its noise holds."""

import contextlib
import dataclasses
from collections.abc import Generator, Sequence

import numpy as np

from keras_regen.codec import VideoCodec
from keras_regen.editing.combination import combine, cut_to_shorter
from keras_regen.latents import Latents, as_latents
from keras_regen.pixels import to_uint8
from keras_regen.types import StrPath


def compare(
    codec: VideoCodec, first: Latents | StrPath, second: Latents | StrPath
) -> dict[str, np.ndarray]:
    """Decodes two videos, and each from its own latents with the other's noise.

    Args:
        codec: a `VideoCodec`.
        first: `Latents` with noise, as `VideoCodec.invert` finds it, or the path of
            their file.
        second: `Latents`, or their path, of the same size and kind of noise.

    Returns:
        Dict from a name to a uint8 array of shape `(T, H, W, 3)`: `"first"` and
        `"second"`, the videos; `"first, noise of second"` and `"second, noise of
        first"`; and `"first, random noise"`, what the latents alone hold.

    Raises:
        ValueError: if they do not fit or have no noise.
    """
    frames = [*compare_stream(codec, first, second)]
    return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}


def compare_stream(
    codec: VideoCodec, first: Latents | StrPath, second: Latents | StrPath
) -> Generator[dict[str, np.ndarray], None, None]:
    """Compares two videos frame by frame, in memory that does not grow with them.

    The five videos are decoded together, so they need five times the codec's
    `max_memory`.

    Args:
        codec: as for `compare`.
        first: as for `compare`.
        second: as for `compare`.

    Yields:
        Dicts as `compare` returns them, of frames of shape `(H, W, 3)`.

    Raises:
        ValueError: as `compare`.
    """
    first, second = cut_to_shorter(first, second)
    pairs = {
        "first": combine(first, noise=first),
        "second": combine(second, noise=second),
        "first, noise of second": combine(first, noise=second),
        "second, noise of first": combine(second, noise=first),
        "first, random noise": combine(first),
    }
    for frames in _zip_streams(codec.decode_stream(z) for z in pairs.values()):
        yield dict(zip(pairs, map(to_uint8, frames), strict=True))


def spread(
    codec: VideoCodec,
    latents: Latents | StrPath,
    seeds: Sequence[int] = (0, 1, 2, 3),
    num_steps: int = 1,
    noise_scale: float = 1.0,
) -> np.ndarray:
    """Computes how much each pixel depends on the seed of the noise.

    Args:
        codec: a `VideoCodec`.
        latents: `Latents`, or the path of their file. Noise that they have is not used.
        seeds: sequence of int, two or more. Defaults to `(0, 1, 2, 3)`.
        num_steps: int. Sampling steps. Defaults to `1`.
        noise_scale: float. As for `VideoCodec.decode`. Defaults to `1`.

    Returns:
        float32 array of shape `(T, H, W)`: the standard deviation over the seeds, the
        root mean square of the three channels, in levels of 255.

    Raises:
        ValueError: if there are fewer than two seeds.
    """
    return np.stack([*spread_stream(codec, latents, seeds, num_steps, noise_scale)])


def spread_stream(
    codec: VideoCodec,
    latents: Latents | StrPath,
    seeds: Sequence[int] = (0, 1, 2, 3),
    num_steps: int = 1,
    noise_scale: float = 1.0,
) -> Generator[np.ndarray, None, None]:
    """Computes `spread` frame by frame, in memory that does not grow with the video.

    The seeds are decoded together, each with the codec's `max_memory`.

    Args:
        codec: as for `spread`.
        latents: as for `spread`.
        seeds: as for `spread`.
        num_steps: as for `spread`.
        noise_scale: as for `spread`.

    Yields:
        float32 arrays of shape `(H, W)`.

    Raises:
        ValueError: as `spread`.
    """
    if len(seeds) < 2:
        raise ValueError(f"There must be two seeds or more. Received: seeds={seeds}")
    latents = dataclasses.replace(as_latents(latents), noise=None, dtype="float32")
    for frames in _zip_streams(
        codec.decode_stream(
            latents, num_steps=num_steps, seed=seed, noise_scale=noise_scale
        )
        for seed in seeds
    ):
        variance = np.var(np.stack(frames), axis=0, ddof=1, dtype="float64")
        yield (127.5 * np.sqrt(variance.mean(axis=-1))).astype("float32")


def _zip_streams(streams):
    """Yields tuples of a frame of each stream, and closes the streams."""
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(contextlib.closing(x)) for x in streams]
        yield from zip(*streams, strict=True)
