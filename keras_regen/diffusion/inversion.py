"""The noise from which sampling makes a given sample."""

from collections.abc import Callable

from keras import ops

from keras_regen.diffusion.path import Path
from keras_regen.diffusion.prediction import Prediction
from keras_regen.diffusion.schedule import (
    DEFAULT_SCHEDULE,
    as_float,
    last_time,
    repeat,
    sampling_time,
)
from keras_regen.types import Tensor


def invert(
    predict: Callable[[Tensor, Tensor], Tensor],
    sample: Tensor,
    path: Path,
    prediction: Prediction,
    num_steps: int | Tensor,
    refinements: int | Tensor,
    schedule: str = DEFAULT_SCHEDULE,
) -> Tensor:
    """Integrates the probability flow from data to noise.

    It undoes the steps of `sample(..., invertible=True)`, the last one first. A step
    from x_t to x_s is undone where the prediction at (x_t, t) is known, which depends
    on the x_t that is sought: it is found as a fixed point. The first guess takes the
    sample and the noise that the prediction at (x_s, s) implies.

    Args:
        predict: callable `(x_t, t) -> prediction`, as for `sample`.
        sample: float32 tensor of any shape.
        path: a `Path`.
        prediction: a `Prediction`.
        num_steps: int, at least 1, or int scalar tensor, which makes a loop in the
            graph. The steps of `sample`.
        refinements: int, at least 0, or int scalar tensor. Iterations after the first
            guess of each step. In all there are `num_steps * (1 + refinements)` calls
            of `predict`.
        schedule: as for `sample`.

    Returns:
        float32 tensor of the shape of `sample`: the noise.

    Reference:
        Song et al. 2021, *Denoising Diffusion Implicit Models*, section 4.3; Pan et
        al. 2023, *Effective Real Image Editing with Accelerated Iterative Diffusion
        Inversion*, section 3.
    """
    steps = as_float(num_steps)

    def undo(i, x):
        left = steps - as_float(i)
        # From s, closer to data, to t.
        s, t = (
            sampling_time(n / steps, path, prediction, schedule, invertible=True)
            for n in (left, left - 1.0)
        )
        clean, noise = prediction.solve(path, predict(x, s), x, s)
        guess = path.interpolate(clean, noise, t)

        def refine(_, guess):
            return _start_of_step(predict(guess, t), x, path, prediction, t, s)

        return repeat(refinements, refine, guess)

    x = path.alpha(last_time(path)) * ops.convert_to_tensor(sample, "float32")
    return repeat(num_steps, undo, x)


def _start_of_step(output, x_s, path, prediction, t, s):
    """Returns the x_t that a step takes to x_s, given the prediction at (x_t, t)."""
    a, b = prediction.coefficients(path, t)
    alpha_t, sigma_t = path.alpha(t), path.sigma(t)
    alpha_s, sigma_s = path.alpha(s), path.sigma(s)
    # The step solves a * clean + b * noise = output and
    # alpha_t * clean + sigma_t * noise = x_t, and mixes both to x_s.
    determinant = a * sigma_t - b * alpha_t
    rest = determinant * x_s - (alpha_s * sigma_t - sigma_s * alpha_t) * output
    return rest / (a * sigma_s - b * alpha_s)
