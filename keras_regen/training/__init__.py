"""Training: whole runs, and the callbacks and optimiser that they are made of."""

import importlib

from keras_regen.training.config import TrainingConfig

_MODULES = {
    "Checkpoint": "checkpoint",
    "GradientGuard": "gradient_guard",
    "Progress": "progress",
    "SkippedSteps": "skipped_steps",
    "Watch": "watch",
    "averaged_weights": "averaging",
    "plot_history": "history_plot",
    "train": "run",
}

__all__ = ["TrainingConfig", "distribution", *_MODULES]


def __getattr__(name):
    # The command line reads settings before it chooses Keras's backend.
    if name == "distribution":
        return importlib.import_module("keras_regen.training.distribution")
    if name in _MODULES:
        module = importlib.import_module(f"keras_regen.training.{_MODULES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
