"""Training: whole runs, and the callbacks and optimiser that they use."""

from typing import TYPE_CHECKING

from keras_regen.lazy import lazy_exports
from keras_regen.training.codec_config import TrainingConfig
from keras_regen.training.generator_config import GeneratorConfig

if TYPE_CHECKING:
    from keras_regen.training import distribution
    from keras_regen.training.checkpoint import Checkpoint
    from keras_regen.training.clock_schedule import ClockSchedule
    from keras_regen.training.codec_run import train, untrained_model
    from keras_regen.training.generation_monitor import GenerationMonitor
    from keras_regen.training.generator_run import train_generator
    from keras_regen.training.gradient_guard import GradientGuard, SkippedSteps
    from keras_regen.training.monitor import averaged_weights
    from keras_regen.training.progress import Progress, plot_history
    from keras_regen.training.sample_monitor import SampleMonitor

__all__ = [
    "Checkpoint",
    "ClockSchedule",
    "GenerationMonitor",
    "GeneratorConfig",
    "GradientGuard",
    "Progress",
    "SampleMonitor",
    "SkippedSteps",
    "TrainingConfig",
    "averaged_weights",
    "distribution",
    "plot_history",
    "train",
    "train_generator",
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
        "train": "codec_run",
        "untrained_model": "codec_run",
        "train_generator": "generator_run",
        "SampleMonitor": "sample_monitor",
        "GenerationMonitor": "generation_monitor",
        "averaged_weights": "monitor",
    },
)
