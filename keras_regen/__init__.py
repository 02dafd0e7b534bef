"""REGEN for Keras 3: a compact video embedder with a generative decoder."""

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING

from keras_regen.backend import choose_backend
from keras_regen.lazy import lazy_exports

if TYPE_CHECKING:
    from keras_regen import (
        codec,
        data,
        diffusion,
        editing,
        evaluation,
        export,
        generation,
        latents,
        layers,
        metrics,
        models,
        text,
        training,
        video,
    )
    from keras_regen.codec import VideoCodec
    from keras_regen.generation import VideoGenerator
    from keras_regen.latents import Latents
    from keras_regen.models import (
        ConvAutoencoder,
        ConvDecoder,
        DiTDecoder,
        Regen,
        VideoEncoder,
        upload_preset,
    )

__version__ = "0.1.0"

__all__ = [
    "ConvAutoencoder",
    "ConvDecoder",
    "DiTDecoder",
    "Latents",
    "Regen",
    "VideoCodec",
    "VideoEncoder",
    "VideoGenerator",
    "codec",
    "data",
    "diffusion",
    "editing",
    "evaluation",
    "export",
    "generation",
    "latents",
    "layers",
    "metrics",
    "models",
    "text",
    "training",
    "upload_preset",
    "video",
]

# Importing the package does not import Keras, but chooses the backend for it: without
# KERAS_BACKEND, Keras would want TensorFlow, installed or not.
__getattr__, __dir__ = lazy_exports(
    __name__,
    __all__,
    {
        "ConvAutoencoder": "models",
        "ConvDecoder": "models",
        "DiTDecoder": "models",
        "Latents": "latents",
        "Regen": "models",
        "VideoCodec": "codec",
        "VideoEncoder": "models",
        "VideoGenerator": "generation",
        "upload_preset": "models",
    },
)

if "keras" not in sys.modules:
    # The command line reports the error, and so does the first use of Keras.
    with contextlib.suppress(ValueError):
        choose_backend()
else:
    # The backend is chosen already, and `keras.saving.load_model` finds the classes
    # only once they are registered.
    importlib.import_module("keras_regen.models")
