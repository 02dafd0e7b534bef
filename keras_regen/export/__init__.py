"""Export to formats that serve without Keras."""

from keras_regen.export.exporter import export
from keras_regen.export.formats import FORMATS

__all__ = ["FORMATS", "export"]
