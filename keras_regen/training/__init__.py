"""Training: whole runs, and the callbacks and optimiser that they use."""

from typing import TYPE_CHECKING

from keras_regen.lazy import lazy_exports
from keras_regen.training.config import TrainingConfig

if TYPE_CHECKING:
    from keras_regen.training import distribution
    from keras_regen.training.checkpoint import Checkpoint
    from keras_regen.training.clock_schedule import ClockSchedule
    from keras_regen.training.gradient_guard import GradientGuard, SkippedSteps
    from keras_regen.training.progress import Progress, plot_history
    from keras_regen.training.run import train, untrained_model
    from keras_regen.training.sample_monitor import SampleMonitor, averaged_weights

__all__ = [
    "Checkpoint",
    "ClockSchedule",
    "GradientGuard",
    "Progress",
    "SampleMonitor",
    "SkippedSteps",
    "TrainingConfig",
    "averaged_weights",
    "distribution",
    "plot_history",
    "train",
    "untrained_model",
]

# These need Keras, which importing this package does not import.
__getattr__, __dir__ = lazy_exports(
    __name__,
    __all__,
    {
        "Checkpoint": "checkpoint",
        "ClockSchedule": "clock_schedule",
        "GradientGuard": "gradient_guard",
        "SkippedSteps": "gradient_guard",
        "Progress": "progress",
        "plot_history": "progress",
        "train": "run",
        "untrained_model": "run",
        "SampleMonitor": "sample_monitor",
        "averaged_weights": "sample_monitor",
    },
)
