"""A page in the browser to try models on: clips in, re-generated clips out."""

from typing import TYPE_CHECKING

from keras_regen.demo.page import build_page, import_gradio, serve
from keras_regen.lazy import lazy_exports

if TYPE_CHECKING:
    from keras_regen.demo.regenerator import Regenerated, Regenerator

__all__ = [
    "Regenerated",
    "Regenerator",
    "build_page",
    "import_gradio",
    "serve",
]

# These need Keras, which importing this package does not import.
__getattr__, __dir__ = lazy_exports(
    __name__,
    __all__,
    {
        "Regenerated": "regenerator",
        "Regenerator": "regenerator",
    },
)
