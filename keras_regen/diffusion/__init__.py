"""Diffusion: paths, predictions, loss weights, times, noise and the samplers."""

from collections.abc import Callable
from typing import Any, TypeVar

from keras_regen.diffusion.inversion import invert
from keras_regen.diffusion.noise import (
    MAX_NOISE_TIME,
    NOISE_TIME_RESOLUTION,
    CanvasArea,
    draw_noise,
    noise_canvas,
)
from keras_regen.diffusion.path import CosinePath, LinearPath, Path
from keras_regen.diffusion.prediction import (
    Epsilon,
    Prediction,
    Sample,
    V,
    Velocity,
)
from keras_regen.diffusion.sampler import Sampling, sample
from keras_regen.diffusion.schedule import (
    DEFAULT_SCHEDULE,
    SCHEDULES,
    check_schedule,
    sampling_time,
)
from keras_regen.diffusion.time_distribution import (
    LogitNormalTimes,
    TimeDistribution,
    UniformTimes,
)
from keras_regen.diffusion.weighting import (
    PredictionWeighting,
    SampleWeighting,
    VelocityWeighting,
    Weighting,
)
from keras_regen.types import ScheduleName

__all__ = [
    "DEFAULT_SCHEDULE",
    "MAX_NOISE_TIME",
    "NOISE_TIME_RESOLUTION",
    "SCHEDULES",
    "CanvasArea",
    "CosinePath",
    "Epsilon",
    "LinearPath",
    "LogitNormalTimes",
    "Path",
    "Prediction",
    "PredictionWeighting",
    "Sample",
    "SampleWeighting",
    "Sampling",
    "ScheduleName",
    "TimeDistribution",
    "UniformTimes",
    "V",
    "Velocity",
    "VelocityWeighting",
    "Weighting",
    "check_schedule",
    "draw_noise",
    "get",
    "invert",
    "noise_canvas",
    "sample",
    "sampling_time",
]

_BY_NAME: dict[type, dict[str, Callable[[], Any]]] = {
    Path: {"linear": LinearPath, "cosine": CosinePath},
    Prediction: {
        "epsilon": Epsilon,
        "sample": Sample,
        "v": V,
        "velocity": Velocity,
    },
    Weighting: {
        "prediction": PredictionWeighting,
        "sample": SampleWeighting,
        "velocity": VelocityWeighting,
    },
    TimeDistribution: {"uniform": UniformTimes, "logit_normal": LogitNormalTimes},
}


_Part = TypeVar("_Part", Path, Prediction, Weighting, TimeDistribution)


def get(kind: Callable[..., _Part], identifier: _Part | str) -> _Part:
    """Returns the part of the diffusion that a name stands for.

    Args:
        kind: class: `Path`, `Prediction`, `Weighting` or `TimeDistribution`.
        identifier: an object of this class, which is returned as it is, or a name.

    Raises:
        ValueError: if the name is unknown or the object has another class.
    """
    # Not `type[_Part]`, which stands for a class that can be instantiated.
    part: Any = kind
    names = _BY_NAME[part]
    if isinstance(identifier, part):
        return identifier
    if isinstance(identifier, str) and identifier in names:
        return names[identifier]()
    raise ValueError(
        f"Expected a `{part.__name__}` or one of {sorted(names)}. "
        f"Received: {identifier!r}"
    )
