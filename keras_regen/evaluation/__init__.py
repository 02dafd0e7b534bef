"""Evaluation of embedders on whole videos."""

from keras_regen.evaluation import embedders
from keras_regen.evaluation.datasets import Item, open_dataset
from keras_regen.evaluation.evaluation import Evaluation
from keras_regen.evaluation.plots import plot_contact_sheet, plot_rate_distortion
from keras_regen.evaluation.protocols import PROTOCOLS, Protocol, get_protocol

__all__ = [
    "PROTOCOLS",
    "Evaluation",
    "Item",
    "Protocol",
    "embedders",
    "get_protocol",
    "open_dataset",
    "plot_contact_sheet",
    "plot_rate_distortion",
]
