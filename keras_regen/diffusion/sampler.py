"""Deterministic sampling."""

import dataclasses
from collections.abc import Callable

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_regen.checks import MAX_NOISE_SEED, MAX_STEPS, check_real, check_whole
from keras_regen.diffusion.noise import MAX_NOISE_PIXEL, CanvasArea, canvas_words
from keras_regen.diffusion.path import Path
from keras_regen.diffusion.prediction import Prediction
from keras_regen.diffusion.schedule import (
    DEFAULT_SCHEDULE,
    as_float,
    check_schedule,
    last_time,
    repeat,
    sampling_time,
)
from keras_regen.types import Tensor

_MAX_FLOAT32 = float(np.finfo("float32").max)


@dataclasses.dataclass(frozen=True)
class Sampling:
    """The choices in sampling a video.

    Args:
        num_steps: int. Sampling steps. Defaults to `1`.
        seed: int. Seed of the noise canvas. Defaults to `0`.
        noise_scale: float. Standard deviation of the noise, 0 or more; models are
            trained with 1. Defaults to `1`.
        schedule: `"uniform"` or `"log_snr"`. The times of the steps, see
            `sampling_time`. Defaults to `DEFAULT_SCHEDULE`.

    Raises:
        ValueError: if `num_steps` is not a whole number from 1 to 10,000, or `seed`
            one from 0 to 2**64 - 1, `noise_scale` is negative or not finite in
            float32, or there is no such schedule.
    """

    num_steps: int = 1
    seed: int = 0
    noise_scale: float = 1.0
    schedule: str = DEFAULT_SCHEDULE

    def __post_init__(self) -> None:
        check_whole(1, MAX_STEPS, num_steps=self.num_steps)
        check_whole(0, MAX_NOISE_SEED, seed=self.seed)
        check_real(0, _MAX_FLOAT32, noise_scale=self.noise_scale)
        check_schedule(self.schedule)

    def area(self, times: ArrayLike, corners: ArrayLike) -> CanvasArea:
        """Returns the noise to start from, as an area of the canvas.

        Args:
            times: float array of shape `(B, F)`. Absolute times in frames, below
                `2**32` in magnitude.
            corners: int array of shape `(B, 2)`. Row and column of each sample's first
                pixel, 0 to `2**31`.

        Returns:
            `CanvasArea` of NumPy arrays.

        Raises:
            ValueError: if the seed, a time or a corner is outside its bounds.
        """
        corners = np.asarray(corners)
        if np.any(corners < 0) or np.any(corners >= MAX_NOISE_PIXEL):
            raise ValueError(
                "Rows and columns on the noise canvas must be 0 or more, and less than "
                f"2**31. Received: {corners.tolist()}"
            )
        return CanvasArea(
            canvas_words(self.seed, times),
            corners.astype("int32"),
            np.full(len(corners), self.noise_scale, "float32"),
        )


def sample(
    predict: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    path: Path,
    prediction: Prediction,
    num_steps: int | Tensor = 1,
    schedule: str = DEFAULT_SCHEDULE,
    invertible: bool = False,
) -> Tensor:
    """Integrates the probability flow from noise to data.

    Each step solves the prediction for the sample and the noise and mixes them again
    for the next time. This is DDIM; on the linear path it is Euler's method.

    Args:
        predict: callable `(x_t, t) -> prediction`, with float32 tensors: `x_t` of the
            shape of `noise`, and `t` a scalar, or of the shape of `num_steps`.
        noise: float32 array of shape `(B, ...)`, standard normal.
        path: a `Path`.
        prediction: a `Prediction`.
        num_steps: int, at least 1; or int tensor of shape `(B,)`, the steps of each
            sample, which makes a loop in the graph. Defaults to `1`.
        schedule: `"uniform"` or `"log_snr"`; see `sampling_time`. Defaults to
            `DEFAULT_SCHEDULE`.
        invertible: bool. Whether to end half-way, where noise and data have equal
            parts, with `x_t / alpha`, so that `invert` can go back. Defaults to
            `False`.

    Returns:
        float32 tensor of the shape of `noise`.

    Raises:
        ValueError: if `num_steps` is an int less than 1.

    Reference:
        Song et al. 2021, *Denoising Diffusion Implicit Models*, equation 12, with
        eta = 0.
    """
    is_written_out = isinstance(num_steps, int)
    if is_written_out and num_steps < 1:
        raise ValueError(
            f"`num_steps` must be at least 1. Received: num_steps={num_steps}"
        )
    x = ops.convert_to_tensor(noise)
    steps = as_float(num_steps)
    per_sample = () if is_written_out else (-1, *[1] * (len(x.shape) - 1))

    def step(i, x):
        taken = as_float(i)
        t, next_t = (
            sampling_time(n / steps, path, prediction, schedule, invertible)
            for n in (taken, taken + 1.0)
        )
        output = ops.convert_to_tensor(predict(x, t))
        t, next_t = ops.reshape(t, per_sample), ops.reshape(next_t, per_sample)
        clean, residual = prediction.solve(path, output, x, t)
        stepped = path.interpolate(clean, residual, next_t)
        if is_written_out:
            return stepped
        # Samples that have taken all their steps stay as they are.
        return ops.where(ops.reshape(taken < steps, per_sample), stepped, x)

    x = repeat(num_steps if is_written_out else ops.max(num_steps), step, x)
    return x / path.alpha(last_time(path)) if invertible else x
