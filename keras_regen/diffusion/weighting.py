"""Weights of the training loss over time."""

import abc
import math

import keras
from keras import ops

from keras_regen.checks import check_real
from keras_regen.configurable import Configurable
from keras_regen.diffusion.path import Path
from keras_regen.diffusion.prediction import Prediction, Sample, Velocity
from keras_regen.types import Tensor


class Weighting(Configurable, abc.ABC):
    """The space in which the loss measures the squared error.

    It may differ from what the network predicts: an error in one space is an error in
    the other times a function of time, so the choice is a weight on the error of the
    prediction.

    Args:
        max_weight: float, 0 or more. Upper bound of the weight. Defaults to `400.0`.

    Raises:
        ValueError: if `max_weight` is not as above.
    """

    def __init__(self, max_weight: float = 400.0) -> None:
        check_real(0, math.inf, max_weight=max_weight)
        self.max_weight = max_weight

    @abc.abstractmethod
    def space(self, prediction: Prediction) -> Prediction:
        """Returns the `Prediction` whose squared error is the loss."""

    def weight(self, path: Path, prediction: Prediction, t: Tensor) -> Tensor:
        """Computes the weight, of the shape of `t`."""
        gain = self.space(prediction).sample_gain(path, t)
        own_gain = ops.maximum(prediction.sample_gain(path, t), 1e-4)
        return ops.minimum(ops.square(gain / own_gain), self.max_weight)


@keras.saving.register_keras_serializable(package="keras_regen")
class PredictionWeighting(Weighting):
    """The error of the prediction itself: a weight of 1."""

    def space(self, prediction: Prediction) -> Prediction:
        return prediction

    def weight(self, path: Path, prediction: Prediction, t: Tensor) -> Tensor:
        # Not as a ratio, which would be 0 where the sample has no error.
        return ops.ones_like(t)


@keras.saving.register_keras_serializable(package="keras_regen")
class SampleWeighting(Weighting):
    """The error of the sample, x_0."""

    def space(self, prediction: Prediction) -> Prediction:
        return Sample()


@keras.saving.register_keras_serializable(package="keras_regen")
class VelocityWeighting(Weighting):
    """The error of the velocity.

    The default upper bound of 400 is 1 / t**2 at t = 0.05.

    Reference:
        Li and He 2025, *Back to Basics: Let Denoising Generative Models Denoise*,
        section 4.1.
    """

    def space(self, prediction: Prediction) -> Prediction:
        return Velocity()
