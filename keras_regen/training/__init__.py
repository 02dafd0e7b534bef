"""Training: whole runs, and the callbacks and optimiser that they are made of."""

from typing import TYPE_CHECKING

from keras_regen.lazy import lazy_exports
from keras_regen.training.config import TrainingConfig

if TYPE_CHECKING:
    from keras_regen.training import distribution
    from keras_regen.training.averaging import averaged_weights
    from keras_regen.training.checkpoint import Checkpoint
    from keras_regen.training.gradient_guard import GradientGuard
    from keras_regen.training.history_plot import plot_history
    from keras_regen.training.progress import Progress
    from keras_regen.training.run import train, untrained_model
    from keras_regen.training.sample_monitor import SampleMonitor
    from keras_regen.training.skipped_steps import SkippedSteps

__all__ = [
    "Checkpoint",
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
        "averaged_weights": "averaging",
        "Checkpoint": "checkpoint",
        "GradientGuard": "gradient_guard",
        "plot_history": "history_plot",
        "Progress": "progress",
        "train": "run",
        "untrained_model": "run",
        "SkippedSteps": "skipped_steps",
        "SampleMonitor": "sample_monitor",
    },
)
