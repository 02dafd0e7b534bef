"""Export to formats that serve without Keras."""

from keras_regen.export.exporter import export
from keras_regen.export.formats import FORMATS, STORED_AS, find_format

__all__ = [
    "FORMATS",
    "STORED_AS",
    "export",
    "find_format",
]
