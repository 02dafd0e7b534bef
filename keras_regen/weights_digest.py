"""Digests of weights and files, to recognise them."""

import hashlib
from collections.abc import Iterable

import numpy as np

from keras_regen.types import StrPath


def weights_digest(arrays: Iterable[np.ndarray], prefix: bytes = b"") -> str:
    """Returns the SHA-256 digest of the float32 values of arrays, in their order.

    Args:
        arrays: iterable of NumPy arrays.
        prefix: bytes. The digest depends on them too. Defaults to none.

    Returns:
        str, hexadecimal.
    """
    digest = hashlib.sha256(prefix)
    for array in arrays:
        digest.update(array.astype("<f4", order="C").tobytes())
    return digest.hexdigest()


def file_sha256(path: StrPath) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
