"""Distributions of the training times."""

import abc
import math

import keras
from keras import ops

from keras_regen.checks import LARGEST, check_real
from keras_regen.configurable import Configurable
from keras_regen.types import Tensor


class TimeDistribution(Configurable, abc.ABC):
    """A distribution over (0, 1), with a share of exactly t = 1.

    One-step sampling needs only the prediction at t = 1, and times from a continuous
    distribution never train it.

    Args:
        terminal_share: float in [0, 1]. Share of samples at exactly t = 1. Defaults to
            `0.5`.
    """

    def __init__(self, terminal_share: float = 0.5) -> None:
        if not 0 <= terminal_share <= 1:
            raise ValueError(
                "`terminal_share` must be in [0, 1]. "
                f"Received: terminal_share={terminal_share}"
            )
        self.terminal_share = terminal_share

    @abc.abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """Inverts the cumulative distribution, without the terminal share."""

    def __call__(self, u: Tensor) -> Tensor:
        """Maps uniform numbers `u` in [0, 1) to times: the largest become t = 1."""
        share = self.terminal_share
        if share == 1:
            return ops.ones_like(u)
        inner = self.quantile(ops.minimum(u / (1.0 - share), 1.0))
        return ops.where(u >= 1.0 - share, ops.ones_like(u), inner)


@keras.saving.register_keras_serializable(package="keras_regen")
class UniformTimes(TimeDistribution):
    """Uniform in (0, 1)."""

    def quantile(self, u: Tensor) -> Tensor:
        return u


@keras.saving.register_keras_serializable(package="keras_regen")
class LogitNormalTimes(TimeDistribution):
    """The logistic function of a normal variable.

    Args:
        terminal_share: float in [0, 1]. See `TimeDistribution`.
        mean: float. Mean of the normal variable; positive leans to noise. Defaults to
            `0.0`.
        std: float. Its standard deviation, 0 or more. Defaults to `1.0`.

    Reference:
        Esser et al. 2024, *Scaling Rectified Flow Transformers for High-Resolution
        Image Synthesis*, equation 19.
    """

    def __init__(
        self, terminal_share: float = 0.5, mean: float = 0.0, std: float = 1.0
    ) -> None:
        super().__init__(terminal_share)
        check_real(-LARGEST, LARGEST, mean=mean)
        check_real(0, LARGEST, std=std)
        self.mean = mean
        self.std = std

    def quantile(self, u: Tensor) -> Tensor:
        u = ops.clip(u, 1e-6, 1.0 - 1e-6)
        return ops.sigmoid(self.mean + self.std * math.sqrt(2) * ops.erfinv(2 * u - 1))
