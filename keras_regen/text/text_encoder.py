"""What embeds texts."""

import reprlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np


class TextEncoder(Protocol):
    """What embeds texts, for a generator of videos: a protocol of one method.

    `KerasHubTextEncoder` reads any text, and `TextEmbeddings` holds those of known
    texts. Any other object with this method and attribute does too.
    """

    @property
    def encoder_id(self) -> str:
        """The digest of the encoder's weights and vocabulary.

        Encoders of the same digest give equal embeddings.
        """
        ...

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Embeds texts.

        Args:
            texts: sequence of str, at least one.

        Returns:
            Pair of a float32 array of shape `(B, L, E)`, the embeddings of the tokens,
            and a bool array of shape `(B, L)`: which tokens are of the text. L is the
            length of the longest text. Embeddings after the end of a text are 0.
        """
        ...


def check_encoder(encoder: object) -> None:
    """Raises ValueError if it is no `TextEncoder`, but the name of one, for example."""
    # Any str has a method `encode`.
    if not (hasattr(encoder, "encode") and hasattr(encoder, "encoder_id")):
        raise ValueError(
            "A text encoder has a method `encode` and an `encoder_id`, such as "
            "`KerasHubTextEncoder.from_preset(name)`. "
            f"Received: {reprlib.repr(encoder)}"
        )


def encode_texts(
    encoder: TextEncoder, texts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Embeds texts by any encoder, whose own checks and types are not known.

    Args:
        encoder: a `TextEncoder`. Arrays may be tensors, and its mask of any dtype.
        texts: list of str.

    Returns:
        Pair of arrays as `TextEncoder.encode` returns.

    Raises:
        ValueError: if it returns something else, or other shapes.
    """
    returned = encoder.encode(texts)
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise ValueError(
            "A text encoder must return a pair of embeddings and a mask. "
            f"Received: {type(returned).__name__} from {encoder!r}"
        )
    embeddings, mask = map(_to_numpy, returned)
    fits = embeddings.ndim == 3 and len(embeddings) == len(texts)
    if not fits or mask.shape != embeddings.shape[:2]:
        raise ValueError(
            "A text encoder must return embeddings of shape (B, L, E) and a mask of "
            f"shape (B, L), for B = {len(texts)}. Received: "
            f"embeddings.shape={embeddings.shape}, mask.shape={mask.shape}"
        )
    mask = mask.astype(bool)
    return np.where(mask[..., None], embeddings, 0).astype("float32"), mask


def _to_numpy(values):
    # A tensor of PyTorch may have a gradient, be on a GPU or in bfloat16.
    if hasattr(values, "detach"):
        values = values.detach().cpu().float()
    return np.asarray(values)


def checked_texts(texts: Sequence[str]) -> list[str]:
    """Returns texts as a list, or raises ValueError."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(
            f"`texts` must be a list of str. Received: texts={reprlib.repr(texts)}"
        )
    if not len(texts):
        raise ValueError("There must be at least one text. Received: texts=[]")
    return list(texts)


def pad_tokens(
    embeddings: Sequence[np.ndarray], length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Puts the embeddings of texts into one array.

    Args:
        embeddings: sequence of arrays of shape `(L_i, E)`.
        length: int or None. L, at least the longest L_i, which is the default.

    Returns:
        Pair of arrays as `TextEncoder.encode` returns.

    Example:

    >>> padded, mask = pad_tokens([np.ones((1, 4)), np.ones((3, 4))])
    >>> padded.shape, mask.tolist()
    ((2, 3, 4), [[True, False, False], [True, True, True]])
    """
    lengths = np.array([len(tokens) for tokens in embeddings])
    mask = np.arange(length or lengths.max()) < lengths[:, None]
    padded = np.zeros((*mask.shape, embeddings[0].shape[1]), "float32")
    padded[mask] = np.concatenate(embeddings)
    return padded, mask
