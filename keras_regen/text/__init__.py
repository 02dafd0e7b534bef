"""Encoders of texts, for generators that are conditioned by them."""

from typing import TYPE_CHECKING

from keras_regen.lazy import lazy_exports
from keras_regen.text.text_embeddings import TextEmbeddings
from keras_regen.text.text_encoder import TextEncoder, check_encoder, encode_texts

if TYPE_CHECKING:
    from keras_regen.text.keras_hub_text_encoder import KerasHubTextEncoder

__all__ = [
    "KerasHubTextEncoder",
    "TextEmbeddings",
    "TextEncoder",
    "check_encoder",
    "encode_texts",
]

# Importing it imports Keras, which importing the package does not.
__getattr__, __dir__ = lazy_exports(
    __name__, __all__, {"KerasHubTextEncoder": "keras_hub_text_encoder"}
)
