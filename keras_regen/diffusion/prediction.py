"""Predictions: the training target, and the sample and noise that it implies."""

import abc

import keras
from keras import ops

from keras_regen.configurable import Configurable
from keras_regen.diffusion.path import Path
from keras_regen.types import Tensor


class Prediction(Configurable, abc.ABC):
    """A linear combination of sample and noise that the network is trained to predict.

    Every prediction is `a(t) * sample + b(t) * noise` with coefficients that depend on
    the path. Together with `x_t = alpha * sample + sigma * noise` it can be solved for
    the sample and the noise. A new prediction is one class with `coefficients`.
    """

    # The time at which sampling starts.
    max_time = 1.0

    @abc.abstractmethod
    def coefficients(self, path: Path, t: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the pair (a, b)."""

    def target(self, path: Path, sample: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Computes the training target, for `t` broadcastable to `sample`."""
        a, b = self.coefficients(path, t)
        return a * sample + b * noise

    def solve(
        self, path: Path, output: Tensor, x_t: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the sample and the noise that an output at (x_t, t) implies."""
        a, b = self.coefficients(path, t)
        alpha, sigma = path.alpha(t), path.sigma(t)
        determinant = a * sigma - b * alpha
        sample = (sigma * output - b * x_t) / determinant
        noise = (a * x_t - alpha * output) / determinant
        return sample, noise

    def sample_gain(self, path: Path, t: Tensor) -> Tensor:
        """Returns the prediction's error for a unit error of the implied sample."""
        a, b = self.coefficients(path, t)
        return ops.abs(a - b * path.alpha(t) / ops.maximum(path.sigma(t), 1e-4))


@keras.saving.register_keras_serializable(package="keras_regen")
class Epsilon(Prediction):
    """The noise: the paper's objective.

    The implied sample is `(x_t - sigma * noise) / alpha`, undefined for pure noise.
    Sampling starts where alpha is 0.063, about the terminal signal in the schedules of
    latent diffusion models of images.

    Reference:
        Ho et al. 2020, *Denoising Diffusion Probabilistic Models*, equation 14; Lin et
        al. 2024, *Common Diffusion Noise Schedules and Sample Steps are Flawed*,
        table 1.
    """

    max_time = 0.96

    def coefficients(self, path: Path, t: Tensor) -> tuple[Tensor, Tensor]:
        return ops.zeros_like(t), ops.ones_like(t)


@keras.saving.register_keras_serializable(package="keras_regen")
class Sample(Prediction):
    """The sample itself, x_0.

    Reference:
        Li and He 2025, *Back to Basics: Let Denoising Generative Models Denoise*.
    """

    def coefficients(self, path: Path, t: Tensor) -> tuple[Tensor, Tensor]:
        return ops.ones_like(t), ops.zeros_like(t)


@keras.saving.register_keras_serializable(package="keras_regen")
class Velocity(Prediction):
    """The derivative of x_t in time, as in flow matching.

    Reference:
        Lipman et al. 2023, *Flow Matching for Generative Modeling*, equation 9.
    """

    def coefficients(self, path: Path, t: Tensor) -> tuple[Tensor, Tensor]:
        return path.alpha_derivative(t), path.sigma_derivative(t)


@keras.saving.register_keras_serializable(package="keras_regen")
class V(Prediction):
    """`alpha * noise - sigma * sample`, the v of progressive distillation.

    Reference:
        Salimans and Ho 2022, *Progressive Distillation for Fast Sampling of Diffusion
        Models*, section 4.
    """

    def coefficients(self, path: Path, t: Tensor) -> tuple[Tensor, Tensor]:
        return -path.sigma(t), path.alpha(t)
