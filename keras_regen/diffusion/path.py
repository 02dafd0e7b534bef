"""Diffusion paths: how data turns into noise."""

import abc
import math

import keras
from keras import ops

from keras_regen.configurable import Configurable
from keras_regen.types import Tensor

# Halvings of [0, 1], to the precision of float32.
_BISECTIONS = 26


class Path(Configurable, abc.ABC):
    """`x_t = alpha(t) * x_0 + sigma(t) * noise`, t in [0, 1] from data to noise.

    A path is four functions of t in closed form. A new path is one class.
    """

    @abc.abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Returns the factor of the sample."""

    @abc.abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Returns the factor of the noise."""

    @abc.abstractmethod
    def alpha_derivative(self, t: Tensor) -> Tensor:
        """Returns the derivative of `alpha` in t."""

    @abc.abstractmethod
    def sigma_derivative(self, t: Tensor) -> Tensor:
        """Returns the derivative of `sigma` in t."""

    def log_snr(self, t: Tensor) -> Tensor:
        """Returns the logarithm of the signal-to-noise ratio, finite for any t."""
        alpha, sigma = (ops.maximum(f(t), 1e-12) for f in (self.alpha, self.sigma))
        return 2.0 * ops.log(alpha / sigma)

    def time_at_log_snr(self, log_snr: Tensor) -> Tensor:
        """Inverts `log_snr`, which falls from data to noise, by bisection."""
        low, high = ops.zeros_like(log_snr), ops.ones_like(log_snr)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            is_cleaner = self.log_snr(middle) > log_snr
            low = ops.where(is_cleaner, middle, low)
            high = ops.where(is_cleaner, high, middle)
        return 0.5 * (low + high)

    def interpolate(self, sample: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Computes x_t, for `t` broadcastable to `sample`."""
        return self.alpha(t) * sample + self.sigma(t) * noise


@keras.saving.register_keras_serializable(package="keras_regen")
class LinearPath(Path):
    """The straight path of flow matching: alpha = 1 - t, sigma = t.

    Reference:
        Lipman et al. 2023, *Flow Matching for Generative Modeling*, example II.
    """

    def alpha(self, t: Tensor) -> Tensor:
        return 1.0 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return -ops.ones_like(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        return ops.ones_like(t)

    def time_at_log_snr(self, log_snr: Tensor) -> Tensor:
        return ops.sigmoid(-0.5 * log_snr)


@keras.saving.register_keras_serializable(package="keras_regen")
class CosinePath(Path):
    """The variance-preserving path: alpha = cos(pi t / 2), sigma = sin(pi t / 2).

    Reference:
        Salimans and Ho 2022, *Progressive Distillation for Fast Sampling of Diffusion
        Models*, section 2.
    """

    def alpha(self, t: Tensor) -> Tensor:
        return ops.cos(math.pi / 2 * t)

    def sigma(self, t: Tensor) -> Tensor:
        return ops.sin(math.pi / 2 * t)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * ops.sin(math.pi / 2 * t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        return math.pi / 2 * ops.cos(math.pi / 2 * t)

    def time_at_log_snr(self, log_snr: Tensor) -> Tensor:
        return 2.0 / math.pi * ops.arctan(ops.exp(-0.5 * log_snr))
