"""Scoring embedders on whole videos, all in one way."""

from typing import TYPE_CHECKING

from keras_regen.evaluation.datasets import Item, open_dataset
from keras_regen.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from keras_regen.lazy import lazy_exports

if TYPE_CHECKING:
    from keras_regen.evaluation import embedders
    from keras_regen.evaluation.evaluation import Evaluation
    from keras_regen.evaluation.plots import plot_contact_sheet, plot_rate_distortion

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

# These need Keras, which importing this package does not import.
__getattr__, __dir__ = lazy_exports(
    __name__,
    __all__,
    {
        "Evaluation": "evaluation",
        "plot_contact_sheet": "plots",
        "plot_rate_distortion": "plots",
    },
)
