"""REGEN for Keras 3: a compact video embedder with a generative decoder."""

import importlib
import sys

__version__ = "0.1.0"

_MODULES = (
    "codec",
    "data",
    "diffusion",
    "evaluation",
    "export",
    "layers",
    "metrics",
    "models",
    "training",
)
_CLASSES = {
    "ConvAutoencoder": "models",
    "ConvDecoder": "models",
    "DiTDecoder": "models",
    "Latents": "codec",
    "Regen": "models",
    "VideoCodec": "codec",
    "VideoEncoder": "models",
}

__all__ = [*_CLASSES, *_MODULES]


def __getattr__(name):
    # Keras fixes its backend when it is imported, so importing the package does not
    # import Keras: the command line chooses the backend first.
    if name in _MODULES:
        return importlib.import_module(f"keras_regen.{name}")
    if name in _CLASSES:
        return getattr(importlib.import_module(f"keras_regen.{_CLASSES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]


if "keras" in sys.modules:
    # The backend is chosen already, and `keras.saving.load_model` finds the classes
    # only once they are registered.
    importlib.import_module("keras_regen.models")
