"""What tells one model's weights from another's."""

import hashlib


def weights_digest(arrays, prefix=b""):
    """SHA-256, hexadecimal, of the float32 values of arrays in order.

    Args:
        arrays: iterable of NumPy arrays.
        prefix: bytes that the digest depends on too. Defaults to none.
    """
    digest = hashlib.sha256(prefix)
    for array in arrays:
        digest.update(array.astype("<f4", order="C").tobytes())
    return digest.hexdigest()
