"""SavedModels of generators for TF Serving."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_regen.atomic_output import as_os_error
from keras_regen.export.model_functions import ModelFunctions
from keras_regen.export.request_checks import RequestChecks, checked
from keras_regen.export.saved_model import (
    StoredWeights,
    canvas_words,
    per_sample_specs,
    served_function,
)
from keras_regen.export.video_formats import VIDEO_FORMATS
from keras_regen.export.warmup import WarmupWriter
from keras_regen.models import MAX_LATENT

MAX_GUIDANCE = 1e6
# Suffixes of the signatures' names, and how they return a video.
OUTPUTS = {"": VIDEO_FORMATS["_uint8"].write, "_bytes": VIDEO_FORMATS["_bytes"].write}


class ServedGenerator(tf.Module):
    """A generator as TensorFlow functions that check their inputs.

    Args:
        functions: `GeneratorFunctions`, under the TensorFlow backend.
    """

    def __init__(self, functions: Any) -> None:
        super().__init__(name="generator")
        options = functions.options
        codec = ModelFunctions(functions.codec)
        self.transformer_weights = StoredWeights(
            functions.transformer.variables, options.weights
        )
        self.decoder_weights = StoredWeights(codec.decoder_variables, options.weights)
        self.checks = RequestChecks(
            functions.codec.temporal_compression,
            functions.codec.encoder.latent_channels,
            options.num_steps,
            options.max_pixels,
        )
        # Plain objects: a module's variables would be saved as well.
        self._functions, self._codec, self._options = functions, codec, options
        self._names = functions.condition_names
        self._max_tokens = options.max_tokens
        self.texts: KnownTexts | None = None
        if functions.texts is not None:
            self.texts = KnownTexts(functions.texts)
            self._max_tokens = max(self._max_tokens, functions.texts.max_length)
        self._specs = [self._spec(name) for name in self._names]
        self._drawn = per_sample_specs("seed", *(["guidance"] if self._names else ()))
        # One function, so that the graph has it once for all signatures.
        self._video = served_function(self._generate, *self._specs, *self._drawn)

    def signatures(self) -> dict[str, Any]:
        """Returns a dict from the names that requests use to the functions."""
        functions = {}
        for suffix, write in OUTPUTS.items():
            functions[f"generate{suffix}"] = served_function(
                functools.partial(self._signature, write), *self._specs, *self._drawn
            )
            if self.texts is not None:
                functions[f"generate_from_prompt{suffix}"] = served_function(
                    functools.partial(self._prompt_signature, self.texts, write),
                    tf.TensorSpec([None], tf.string, name="prompt"),
                    *self._drawn,
                )
        return functions | {"serving_default": functions["generate"]}

    def one_video(self) -> dict[str, tuple[Any, Sequence[int]]]:
        """Returns a value and a shape for every input: one video, to warm up with."""
        values: dict[str, tuple[Any, Sequence[int]]] = {
            "text": (0, (1, 1, self._functions.transformer.text_channels or 0)),
            "text_mask": (True, (1, 1)),
            "label": (0, (1,)),
            "seed": (0, (1,)),
            # With guidance, the transformer runs with the condition and without.
            "guidance": (2.0, (1,)),
        }
        if self.texts is not None:
            values["prompt"] = (self.texts.first, (1,))
        return values

    def _spec(self, name):
        return {
            "text": tf.TensorSpec(
                [None, None, self._functions.transformer.text_channels], name="text"
            ),
            "text_mask": tf.TensorSpec([None, None], tf.bool, name="text_mask"),
            "label": tf.TensorSpec([None], tf.int32, name="label"),
        }[name]

    def _signature(self, write, *inputs):
        return write(self._video(*inputs))

    def _prompt_signature(self, texts, write, prompt, *drawn):
        # Nothing may be looked up for more prompts than a request may have.
        prompt = tf.ensure_shape(prompt, [None])
        with tf.control_dependencies([self._batch(tf.size(prompt))]):
            prompt = tf.identity(prompt)
        return write(self._video(*texts(prompt), *drawn))

    def _generate(self, *inputs):
        """Generates videos.

        Args:
            *inputs: the condition, the seed and, with a condition, the guidance.

        Returns:
            float32 tensor of shape `(B, T, H, W, 3)`, in [-1, 1].
        """
        count = len(self._names)
        condition, (seed, *guidance) = inputs[:count], inputs[count:]
        if condition:
            batch = self._batch(tf.shape(condition[0])[0])
        else:
            batch = self._batch(tf.size(seed))
        with tf.control_dependencies([batch]):
            condition = self._condition(condition)
        seed = self.checks.seed(seed, batch)
        guidance = self._guidance(guidance[0], batch) if guidance else None
        latents = self._functions.sample(
            self.transformer_weights.tensors(),
            canvas_words(seed, tf.constant(self._functions.frames, tf.float64), batch),
            condition,
            guidance,
        )
        latents = checked(
            latents,
            (
                tf.reduce_all(tf.abs(latents) <= MAX_LATENT),
                "Generated latents must be finite; half precision can overflow. "
                f"Received: NaN or values above {MAX_LATENT:g} in magnitude",
            ),
        )
        return self._decode(latents, seed, batch)

    def _decode(self, latents, seed, batch):
        """Decodes all chunks as one batch, and stitches them."""
        starts, chunk_times = self._functions.starts, self._functions.chunk_times
        chunks, frames = len(starts), len(chunk_times)
        size = latents.shape[2:]
        times = (starts[:, None] + chunk_times).reshape(-1)
        words = canvas_words(seed, tf.constant(times, tf.float64), batch)
        decoded, finite = self._codec.decode_on_canvas(
            self.decoder_weights.tensors(),
            tf.reshape(latents[:, : 2 * chunks], [-1, 2, *size]),
            tf.broadcast_to(
                tf.constant(chunk_times, tf.float32), [batch * chunks, frames]
            ),
            tf.reshape(words, [-1, frames, 4]),
            self._options.decoding_steps,
        )
        decoded = checked(
            decoded,
            (
                tf.reduce_all(finite),
                "Decoded frames must be finite; half precision can overflow. "
                "Received: NaN or infinite values",
            ),
        )
        return self._functions.stitch(
            tf.reshape(decoded, [-1, chunks, *decoded.shape[1:]])
        )

    # === Checks ===

    def _batch(self, batch):
        """Returns the number of videos, once it is known to be small."""
        batch = checked(
            batch,
            (batch > 0, "A request needs at least one video. Received: batch=", batch),
        )
        options = self._options
        shape = options.num_frames, options.height, options.width
        return self.checks.bounded(batch, batch, shape)

    def _condition(self, source):
        """Returns the condition of a batch, once it is checked."""
        if "text" in self._names:
            return self._text(*source)
        return {"label": self._label(*source)} if source else {}

    def _text(self, text, mask):
        # Some servers do not check the ranks of inputs.
        text, mask = (
            tf.ensure_shape(text, [None] * 3),
            tf.ensure_shape(mask, [None] * 2),
        )
        shape, channels = tf.shape(text), self._functions.transformer.text_channels
        text = checked(
            text,
            (
                (shape[2] == channels) & tf.reduce_all(tf.shape(mask) == shape[:2]),
                f"`text` must have shape (B, L, {channels}), and `text_mask` (B, L). "
                "Received: text.shape, text_mask.shape=",
                shape,
                tf.shape(mask),
            ),
            (
                (shape[1] >= 1) & (shape[1] <= self._max_tokens),
                f"A text may have 1 to {self._max_tokens} tokens. Received: L=",
                shape[1],
            ),
            (
                tf.reduce_all(tf.math.is_finite(text)),
                "`text` must be finite. Received: NaN or infinite values",
            ),
        )
        return {
            "text": tf.ensure_shape(text, [None, None, channels]),
            "text_mask": mask,
        }

    def _label(self, label):
        count = self._functions.transformer.num_labels
        return checked(
            tf.ensure_shape(label, [None]),
            (
                tf.reduce_all((label >= 0) & (label <= count)),
                f"`label` must have whole numbers from 0 to {count}, which is none. "
                "Received: label=",
                label,
            ),
        )

    def _guidance(self, guidance, batch):
        guidance = self.checks.per_sample("guidance", guidance, batch)
        guidance = checked(
            guidance,
            (
                # NaN is not within bounds either.
                tf.reduce_all((guidance >= 0) & (guidance <= MAX_GUIDANCE)),
                f"`guidance` must be 0 to {MAX_GUIDANCE:g}. Received: guidance=",
                guidance,
            ),
        )
        return tf.broadcast_to(guidance, [batch])


class KnownTexts(tf.Module):
    """Looks up the embeddings of texts as `TextEmbeddings` does.

    Args:
        texts: a `TextEmbeddings`.
    """

    def __init__(self, texts: Any) -> None:
        super().__init__(name="texts")
        self.first: str = texts.texts[0]
        embeddings, mask = texts.encode(texts.texts)
        lengths = mask.sum(axis=1)
        # Only the tokens that count take space, in the precision of the file.
        self._tokens = tf.Variable(
            embeddings[mask].astype("float16"), trainable=False, name="tokens"
        )
        self._length = int(lengths.max())
        self._starts = tf.Variable(
            lengths.cumsum() - lengths, trainable=False, name="starts"
        )
        self._lengths = tf.Variable(lengths, trainable=False, name="lengths")
        keys = tf.constant(texts.texts)
        # Of texts that differ in case alone, the first is found by its letters.
        lower = [text.decode() for text in _lower(keys).numpy()]
        first: dict[str, int] = {}
        for place, text in enumerate(lower):
            first.setdefault(text, place)
        self._places = _table(texts.texts, range(len(texts.texts)))
        self._by_letters = _table(list(first), list(first.values()))

    def __call__(self, prompt: Any) -> tuple[Any, Any]:
        """Returns the embeddings of texts, and which of their tokens count.

        Args:
            prompt: string tensor of shape `(B,)`.
        """
        text = tf.strings.strip(tf.strings.regex_replace(prompt, r"\s+", " "))
        place = self._places.lookup(text)
        place = tf.where(place < 0, self._by_letters.lookup(_lower(text)), place)
        place = checked(
            place,
            (
                tf.reduce_all(place >= 0),
                f"The model knows the embeddings of {int(self._lengths.shape[0])} "
                "texts; for others give them to `generate`. Received: prompt=",
                tf.boolean_mask(prompt, place < 0),
            ),
        )
        token = tf.range(self._length, dtype=tf.int64)
        mask = token < tf.gather(self._lengths, place)[:, None]
        # Places after a text's last token are those of another text, or none.
        number = tf.gather(self._starts, place)[:, None] + token
        tokens = tf.gather(self._tokens, tf.where(mask, number, 0))
        tokens = tf.where(mask[..., None], tf.cast(tokens, tf.float32), 0.0)
        return tokens, mask


def save(functions: Any, directory: pathlib.Path) -> None:
    """Writes a SavedModel into an empty directory; see `VideoGenerator.export`."""
    writer = WarmupWriter() if functions.options.warmup else None
    served = ServedGenerator(functions)
    signatures = served.signatures()
    with as_os_error(tf.errors.OpError):
        tf.saved_model.save(served, str(directory), signatures=signatures)
    if writer:
        writer.write(directory, signatures, [served.one_video()])


def _lower(text):
    return tf.strings.lower(text, encoding="utf-8")


def _table(keys, values):
    values = tf.lookup.KeyValueTensorInitializer(
        tf.constant(keys), tf.constant(list(values), tf.int64)
    )
    return tf.lookup.StaticHashTable(values, default_value=-1)
