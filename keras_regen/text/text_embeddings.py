"""The embeddings of known texts, in memory and in a file."""

import difflib
import hashlib
import json
import numbers
import os
import pathlib
import reprlib
from collections.abc import Callable, Sequence
from typing import Any, Self

import h5py
import numpy as np

from keras_regen.atomic_output import AtomicOutput
from keras_regen.checks import check_finite, check_whole, parse_json
from keras_regen.hdf5_file import Hdf5Writer, check_stored, open_hdf5
from keras_regen.sizes import parse_memory
from keras_regen.text.text_encoder import (
    TextEncoder,
    check_encoder,
    checked_texts,
    encode_texts,
    pad_tokens,
)
from keras_regen.types import StrPath

_FORMAT = "keras-regen text"
_VERSION = 1
_WHAT = "embeddings of texts"
# Texts that are embedded at a time.
_BATCH = 64
# Tokens that are compressed together.
_BLOCK = 64
_MAX_MEMORY = "4GB"
# Embeddings are compressed far less.
_MAX_EXPANSION = 16
# What h5py raises for damaged files, beside ValueError.
_DAMAGE = (OSError, RuntimeError, KeyError, TypeError)


class TextEmbeddings:
    """The embeddings of known texts: a `TextEncoder` that needs no model.

    A generator is trained on them, and a generator that is shipped with them reads
    these texts without the model that embedded them. Values are kept as float16.

    A text is found whatever its white space is, and by its letters whatever their case
    if there is none of the same case.

    Args:
        texts: sequence of str, all different.
        tokens: float array of shape `(N, E)`: the embeddings of the tokens of all
            texts, one text after the other.
        lengths: int array: the number of tokens of each text, at least 1; their sum is
            N.
        encoder_id: str. The digest of the encoder that made them.

    Attributes:
        texts: list of str.
        channels: int. E.
        max_length: int. Tokens of the longest text.
        encoder_id: str.

    Raises:
        ValueError: if an argument is not as above.

    Example:

    >>> known = TextEmbeddings(["a two"], np.ones((4, 8)), [4], encoder_id="made up")
    >>> embeddings, mask = known.encode(["A  two", "a two"])
    >>> embeddings.shape, int(mask.sum())
    ((2, 4, 8), 8)
    """

    def __init__(
        self,
        texts: Sequence[str],
        tokens: np.ndarray,
        lengths: Sequence[int] | np.ndarray,
        encoder_id: str,
    ) -> None:
        self.texts = [_normalized(text) for text in checked_texts(texts)]
        if not isinstance(encoder_id, str):
            raise ValueError(
                f"`encoder_id` must be a str. Received: encoder_id={encoder_id!r}"
            )
        tokens, lengths = np.asarray(tokens), np.asarray(lengths)
        is_whole = np.issubdtype(lengths.dtype, np.integer)
        if not is_whole or lengths.shape != (len(texts),) or np.any(lengths < 1):
            raise ValueError(
                "`lengths` must be a whole number, at least 1, for each of "
                f"{len(texts)} texts. Received: lengths={reprlib.repr(lengths)}"
            )
        self._ends = np.cumsum(lengths, dtype="int64")
        if tokens.ndim != 2 or not tokens.shape[1] or len(tokens) != self._ends[-1]:
            raise ValueError(
                f"`tokens` must have shape ({self._ends[-1]}, E). "
                f"Received: tokens.shape={tokens.shape}"
            )
        with np.errstate(over="ignore"):
            self._tokens = tokens.astype("float16", copy=False)
        check_finite(self._tokens, "`tokens` must be finite as float16.")
        self.encoder_id = encoder_id
        self.channels = tokens.shape[1]
        self.max_length = int(lengths.max())
        self._places = {text: place for place, text in enumerate(self.texts)}
        if len(self._places) < len(self.texts):
            raise ValueError(
                "`texts` must all be different. "
                f"Received: texts={reprlib.repr(self.texts)}"
            )
        self._by_letters: dict[str, int] = {}
        for text, place in self._places.items():
            self._by_letters.setdefault(text.casefold(), place)

    def __len__(self) -> int:
        return len(self.texts)

    def __contains__(self, text: str) -> bool:
        text = _normalized(text)
        return text in self._places or text.casefold() in self._by_letters

    def encode(
        self, texts: Sequence[str], length: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Looks texts up; see `TextEncoder`.

        Args:
            texts: sequence of str.
            length: int or None. L, so that arrays have one shape whatever the texts:
                `max_length` or more. Defaults to that of the longest of these texts.

        Raises:
            ValueError: if one is not known.
        """
        if length is not None:
            check_whole(self.max_length, 2**31, length=length)
        return pad_tokens([self._find(t) for t in checked_texts(texts)], length)

    def _find(self, text):
        text = _normalized(text)
        place = self._places.get(text, self._by_letters.get(text.casefold()))
        if place is None:
            closest = difflib.get_close_matches(text, self.texts, cutoff=0.0)
            raise ValueError(
                f"Embeddings of {len(self)} texts are known, among them: "
                f"{'; '.join(map(reprlib.repr, closest))}. To read any text, give the "
                "encoder that made them, such as `KerasHubTextEncoder.from_preset`. "
                f"Received: {reprlib.repr(text)}"
            )
        return self._tokens[place and self._ends[place - 1] : self._ends[place]]

    @classmethod
    def create(
        cls,
        encoder: TextEncoder,
        texts: Sequence[str],
        path: StrPath | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Embeds texts, each once, but for those that a file has already.

        Args:
            encoder: a `TextEncoder`.
            texts: sequence of str.
            path: path of an `.h5` to write, and to add to if it is there; or None.
            progress: called with the number of texts that are embedded, and of all new
                ones.

        Raises:
            ValueError: if `encoder` is none or returns other shapes, another encoder
                made the embeddings in the file, or it cannot be read or written.
        """
        check_encoder(encoder)
        new = list(dict.fromkeys(map(_normalized, checked_texts(texts))))
        texts, tokens, lengths = [], [], []
        if path is not None:
            # Before the work.
            AtomicOutput.check(path, _WHAT)
        if path is not None and pathlib.Path(path).is_file():
            known = cls.load(path)
            known.check_encoder(encoder.encoder_id, path)
            texts, tokens = known.texts, [known._tokens]
            lengths = np.diff(known._ends, prepend=0).tolist()
            new = [text for text in new if text not in known._places]
            if not new:
                return known
        for start in range(0, len(new), _BATCH):
            embeddings, mask = encode_texts(encoder, new[start : start + _BATCH])
            tokens.append(embeddings[mask].astype("float16"))
            lengths += mask.sum(axis=1).tolist()
            if progress is not None:
                progress(len(lengths) - len(texts), len(new))
        made = cls([*texts, *new], np.concatenate(tokens), lengths, encoder.encoder_id)
        if path is not None:
            made.save(path)
        return made

    def check_encoder(self, encoder_id: str | None, where: object = "") -> None:
        """Raises ValueError if another encoder made the embeddings."""
        if encoder_id != self.encoder_id:
            raise ValueError(
                f"Another text encoder made the embeddings {where}: give it, or remove "
                f"them. Received: encoder_id={encoder_id}, not {self.encoder_id}"
            )

    # === The file ===

    def save(self, path: StrPath) -> None:
        """Writes an HDF5 file, of which only the tokens of texts take space.

        Raises:
            OutputError: if it cannot be written.
        """
        texts = np.frombuffer(json.dumps(self.texts).encode(), "uint8")
        lengths = np.diff(self._ends, prepend=0).astype("int32")
        values = {"texts": texts, "lengths": lengths, "tokens": self._tokens}
        with (
            AtomicOutput(path, _WHAT) as output,
            Hdf5Writer(output.temporary) as file,
        ):
            for name, array in values.items():
                blocks = (min(_BLOCK, len(array)), *array.shape[1:])
                file.create_dataset(
                    name,
                    data=array,
                    chunks=blocks if name == "tokens" else None,
                    compression="gzip",
                    shuffle=True,
                )
            file.attrs["format"] = _FORMAT
            file.attrs["version"] = _VERSION
            file.attrs["encoder_id"] = self.encoder_id
            file.attrs["content_hash"] = _content_hash(self.encoder_id, values)

    @classmethod
    def load(cls, path: StrPath, max_memory: str | float | None = None) -> Self:
        """Reads a file that `save` wrote, and need not be trusted.

        Args:
            path: path of the file.
            max_memory: str such as `"4GB"`, or number of bytes: what the values may
                take. Defaults to 4 GB, or 16 times the size of a file that is larger.

        Raises:
            ValueError: if it cannot be read, is of another kind or damaged, or is
                larger than `max_memory`.
        """
        try:
            limit = _MAX_EXPANSION * os.path.getsize(path)
            limit = max(limit, parse_memory(_MAX_MEMORY))
            if max_memory is not None:
                limit = parse_memory(max_memory)
            with open_hdf5(path) as file:
                return cls(**_read(file, limit))
        except FileNotFoundError as error:
            raise _unreadable(path, "there is no such file") from error
        except _DAMAGE as error:
            raise _unreadable(path, "it is damaged, or not HDF5") from error
        except ValueError as error:
            raise _unreadable(path, error) from error


def _normalized(text):
    return " ".join(text.split())


def _read(file, limit):
    """Returns the arguments of `TextEmbeddings` in an open file.

    Raises:
        ValueError: if they are not as `save` writes them; the message is the reason.
    """
    kind, version, encoder_id, expected = (
        file.attrs.get(name)
        for name in ("format", "version", "encoder_id", "content_hash")
    )
    if not isinstance(kind, str) or kind != _FORMAT:
        raise ValueError("it does not hold embeddings of texts of keras-regen")
    if not isinstance(version, numbers.Integral) or version != _VERSION:
        raise ValueError(f"it is of version {version}, not {_VERSION}")
    values: dict[str, Any] = {}
    for name, dtype, axes in (
        ("texts", "uint8", 1),
        ("lengths", "int32", 1),
        ("tokens", "float16", 2),
    ):
        dataset = file.get(name)
        good = isinstance(dataset, h5py.Dataset) and len(dataset.shape or ()) == axes
        if not good or dataset.dtype.newbyteorder("=") != dtype:
            raise ValueError(f"it has no array `{name}` of {dtype}")
        check_stored(dataset)
        limit -= dataset.size * dataset.dtype.itemsize
        if limit < 0:
            raise ValueError("its values need more memory than `max_memory` allows")
        values[name] = dataset[()].astype(dtype, copy=False)
    if not isinstance(expected, str) or expected != _content_hash(encoder_id, values):
        raise ValueError("its content does not have the hash in its header")
    texts = parse_json(values.pop("texts").tobytes())
    if not isinstance(texts, list):
        raise ValueError("its texts are not a list")
    return {"texts": texts, "encoder_id": encoder_id, **values}


def _content_hash(encoder_id, values):
    digest = hashlib.sha256(str(encoder_id).encode())
    for name in ("texts", "lengths", "tokens"):
        array = values[name]
        little_endian = array.dtype.newbyteorder("<")
        digest.update(str(array.shape).encode())
        digest.update(array.astype(little_endian, order="C").tobytes())
    return digest.hexdigest()


def _unreadable(path, reason):
    return ValueError(f"Cannot read the {_WHAT}: {reason}. Received: path={path}")
