"""Scoring embedders on whole videos, all in one way."""

import importlib

from keras_regen.evaluation.datasets import Item, open_dataset
from keras_regen.evaluation.protocols import PROTOCOLS, Protocol, get_protocol

__all__ = [
    "PROTOCOLS",
    "Evaluation",
    "Item",
    "Protocol",
    "embedders",
    "get_protocol",
    "open_dataset",
]


def __getattr__(name):
    # What needs Keras, which importing this package does not import.
    if name == "Evaluation":
        return importlib.import_module("keras_regen.evaluation.evaluation").Evaluation
    if name == "embedders":
        return importlib.import_module("keras_regen.evaluation.embedders")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
