"""Export to formats that serve without Keras."""

from keras_regen.export.exporter import (
    answer_request,
    export,
    export_in_process,
    save_for_process,
    save_generator,
)
from keras_regen.export.formats import FORMATS, STORED_AS, find_format

__all__ = [
    "FORMATS",
    "STORED_AS",
    "answer_request",
    "export",
    "export_in_process",
    "find_format",
    "save_for_process",
    "save_generator",
]
