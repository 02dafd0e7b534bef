"""Decoding settings that stored noise overrides."""

from keras_regen.codec.tiling import Tiling
from keras_regen.diffusion import Sampling, ScheduleName
from keras_regen.latents import ChunkLayout, InvertedNoise, Latents
from keras_regen.pixels import SPATIAL_COMPRESSION as PATCH


def sampling_of(
    latents: Latents,
    num_steps: int | None,
    seed: int,
    noise_scale: float,
    schedule: ScheduleName,
) -> Sampling:
    """Returns the `Sampling` of latents: noise belongs to steps of its own.

    Raises:
        ValueError: if noise of the latents would have to be scaled.
    """
    noise = latents.noise
    if noise is not None and noise_scale != 1:
        raise ValueError(
            "Latents with noise start from it as it is: `noise_scale` must be 1. "
            f"Received: noise_scale={noise_scale}"
        )
    if num_steps is None:
        num_steps = 1 if noise is None else noise.num_steps
    schedule = schedule if noise is None else noise.schedule
    return Sampling(num_steps, seed, noise_scale, schedule)


def tile_size_of(noise: InvertedNoise | None, pixels: int | None) -> int | None:
    """Returns the most rows and columns of a tile, in latents, or None."""
    pixels = pixels if noise is None else noise.tile_size
    return pixels and pixels // PATCH


def check_noise(noise: InvertedNoise, tiling: Tiling, layout: ChunkLayout) -> None:
    """Raises ValueError unless noise has the shape of what is decoded."""
    rows, columns = PATCH * tiling.tile_rows, PATCH * tiling.tile_columns
    expected = len(tiling), layout.decoded_frames, rows, columns, 3
    if tuple(noise.array.shape[1:]) != expected:
        raise ValueError(
            f"The noise of each chunk of these latents must have shape {expected}. "
            f"Received: noise.array.shape={tuple(noise.array.shape)}"
        )
