"""Texts, embedded by the models of KerasHub."""

import functools
import json
import logging
import os
import pathlib
import threading
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np

from keras_regen.checks import read_json
from keras_regen.text.text_encoder import checked_texts, pad_tokens
from keras_regen.types import StrPath
from keras_regen.weights_digest import weights_digest

# Texts are embedded in few shapes, since each is compiled: so many at a time at most,
# and tokens in steps of this.
_MAX_BATCH = 32
_LENGTH_STEP = 16
_MAX_TOKENS = 512
# What differs between tokenizers of the same vocabulary.
_PROBE = "Zoë's  CAFÉ\tnaïve, 3.5 m/s"
_HUGGING_FACE_TOKENIZER = "tokenizer_config.json"
logger = logging.getLogger("keras_regen")


class KerasHubTextEncoder:
    """A `TextEncoder` made of a backbone and a tokenizer of KerasHub.

    It runs on JAX, TensorFlow and PyTorch. KerasHub itself asks for TensorFlow, and
    does not need it:

        pip install "keras-regen[text]" && pip install --no-deps "keras-hub>=0.32"

    Embeddings are those of the backbone's last layer: of an encoder such as BERT, of
    the encoder in T5, of the text encoder in CLIP. The text's tokens include those that
    mark its start and end. Texts that are longer than the backbone reads, or than 512
    tokens, are cut, with a warning. Several threads may embed texts, one at a time.

    Args:
        backbone: a `keras_hub.models.Backbone` that reads text alone.
        tokenizer: its `keras_hub.tokenizers.Tokenizer`.

    Attributes:
        encoder_id: str. The digest of weights and vocabulary, the same on all backends.

    Raises:
        ValueError: if the backbone has inputs that are not made of tokens, or no output
            for every token.

    Example:

    ```python
    encoder = KerasHubTextEncoder.from_preset("bert_small_en_uncased")
    embeddings, mask = encoder.encode(["a red seven moves left", "a blue two"])
    embeddings.shape  # (2, 7, 512)
    ```
    """

    def __init__(self, backbone: Any, tokenizer: Any) -> None:
        self.backbone = backbone
        self.tokenizer = tokenizer
        self._model = _text_model(backbone)
        # Keras on JAX donates the weights to a call, and another would not find them.
        self._lock = threading.Lock()
        self._max_tokens = min(
            getattr(backbone, "max_sequence_length", None) or _MAX_TOKENS, _MAX_TOKENS
        )

    @classmethod
    def from_preset(cls, preset: StrPath) -> Self:
        """Loads the backbone, in float32, and the tokenizer of a preset.

        Args:
            preset: the name of a preset of KerasHub, an address such as
                `"hf://user/name"`, or the path of a directory: one that KerasHub saved,
                or one of Hugging Face (`config.json`, `vocab.txt` or another
                vocabulary, and `model.safetensors`).

        Raises:
            ImportError: without KerasHub.
            ValueError: if there is no such preset, or it cannot be read.
        """
        keras_hub = _import_keras_hub()
        name = os.fspath(preset)
        try:
            backbone = keras_hub.models.Backbone.from_preset(name, dtype="float32")
            tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(name)
            if (pathlib.Path(name) / _HUGGING_FACE_TOKENIZER).is_file():
                _follow_hugging_face(pathlib.Path(name), backbone, tokenizer)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"Cannot load the text encoder: {error} Received: preset={name}"
            ) from error
        return cls(backbone, tokenizer)

    @functools.cached_property
    def encoder_id(self) -> str:
        weights = self.backbone.weights
        # Heads, for example, are only seen in shapes.
        shapes = [list(weight.shape) for weight in weights]
        tokens = [self.tokenizer.get_vocabulary(), self._tokens([_PROBE])]
        prefix = json.dumps([*tokens, shapes]).encode()
        arrays = (keras.ops.convert_to_numpy(weight) for weight in weights)
        with self._lock:
            return weights_digest(arrays, prefix)

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Embeds texts; see `TextEncoder`."""
        tokens = self._tokens(checked_texts(texts))
        embeddings: list[Any] = [None] * len(tokens)
        # Texts of similar lengths together.
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        for start in range(0, len(order), _MAX_BATCH):
            rows = order[start : start + _MAX_BATCH]
            new = self._embed([tokens[i] for i in rows])
            for i, values in zip(rows, new, strict=False):
                embeddings[i] = values[: len(tokens[i])]
        return pad_tokens(embeddings)

    def _tokens(self, texts):
        """Returns a list of ids for each text, with those of its start and end."""
        start, end = (
            getattr(self.tokenizer, f"{name}_token_id", None)
            for name in ("start", "end")
        )
        # Where they are equal, as in T5, a text has no start.
        first = [start] if start not in (None, end) else []
        last = [end] if end is not None else []
        space = self._max_tokens - len(first) - len(last)
        tokens = []
        for text, ids in zip(texts, self.tokenizer(texts), strict=True):
            ids = [int(i) for i in ids]
            if len(ids) > space:
                logger.warning(
                    "A text of %d tokens is cut to %d: %.60s...", len(ids), space, text
                )
            tokens.append([*first, *ids[:space], *last])
        return tokens

    def _embed(self, tokens):
        """Returns the embeddings of a few texts, of the same padded length."""
        longest = max(map(len, tokens))
        length = min(-(-longest // _LENGTH_STEP) * _LENGTH_STEP, self._max_tokens)
        batch = 1 << (len(tokens) - 1).bit_length()
        padding = getattr(self.tokenizer, "pad_token_id", None) or 0
        ids = np.full((batch, length), padding, "int32")
        mask = np.zeros((batch, length), "int32")
        for i in range(batch):
            # A text of no tokens could give NaN.
            row = tokens[i % len(tokens)]
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        inputs = {"token_ids": ids, "padding_mask": mask, "segment_ids": 0 * ids}
        with self._lock:
            return self._model.predict_on_batch(
                {name: inputs[_kind(name)] for name in self._model.input}
            )


def _text_model(backbone):
    """Returns the part of a backbone that reads text, to the last layer's output."""
    inputs, outputs = backbone.input, backbone.output
    if isinstance(outputs, dict):
        outputs = outputs.get("encoder_sequence_output", outputs.get("sequence_output"))
    inputs = {
        name: tensor
        for name, tensor in (inputs.items() if isinstance(inputs, dict) else ())
        # T5's decoder.
        if not name.startswith("decoder_")
    }
    known = {"token_ids", "padding_mask", "segment_ids"}
    if "token_ids" not in map(_kind, inputs) or {*map(_kind, inputs)} - known:
        raise ValueError(
            "The backbone must read tokens and nothing else. "
            f"Received: {type(backbone).__name__} with the inputs {sorted(inputs)}"
        )
    if outputs is None or len(outputs.shape) != 3:
        raise ValueError(
            "The backbone must return an embedding for every token. "
            f"Received: {type(backbone).__name__}"
        )
    return keras.Model(inputs, outputs)


def _kind(name):
    return name.removeprefix("encoder_")


def _follow_hugging_face(directory, backbone, tokenizer):
    """Sets what KerasHub leaves as in its own presets, of BERT and its like."""
    config = read_json(directory / _HUGGING_FACE_TOKENIZER)
    if hasattr(tokenizer, "strip_accents"):
        strip = config.get("strip_accents")
        tokenizer.strip_accents = tokenizer.lowercase if strip is None else strip
    if read_json(directory / "config.json").get("hidden_act") == "gelu":
        for layer in backbone.layers:
            dense: Any = getattr(layer, "_feedforward_intermediate_dense", None)
            activation = getattr(dense, "activation", None)
            # The first BERT's was an approximation.
            if getattr(activation, "__name__", None) == "gelu_approximate":
                dense.activation = keras.activations.gelu


def _import_keras_hub():
    try:
        import keras_hub
    except ImportError as error:
        raise ImportError(
            'Reading any text needs KerasHub: pip install "keras-regen[text]", then '
            'pip install --no-deps "keras-hub>=0.32".'
        ) from error
    return keras_hub
