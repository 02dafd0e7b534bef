"""Sizes of memory and of frames, as users write them."""

import re
import reprlib

_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?(?:e\+?\d+)?)\s*([KMGT]?)B?\s*", re.I)
_SIZE = re.compile(r"(\d+)(?:x(\d+))?", re.I)
_MAX_MEMORY = 1e18
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_memory(memory: str | float) -> int:
    """Returns the bytes of a number or of a str such as `"2e9"`, `"2GB"` or `"512 MB"`.

    Raises:
        ValueError: if it is neither, or not from 1 to 1e18.
    """
    match = _MEMORY.fullmatch(str(memory))
    size = float(match[1]) * _UNITS[match[2].upper()] if match else 0
    if not 1 <= size <= _MAX_MEMORY:
        raise ValueError(
            "`max_memory` must be a number of bytes from 1 to 1e18, such as 2e9, "
            f'"2e9" or "2GB". Received: max_memory={reprlib.repr(memory)}'
        )
    return int(size)


def parse_size(text: str, order: str = "WIDTHxHEIGHT") -> tuple[int, int]:
    """Returns the two numbers of a str: `"192x128"`, or `"128"` for a square.

    Args:
        text: str.
        order: str. What the numbers are, for the message.

    Raises:
        ValueError: if it is neither, or a number is 0.
    """
    match = _SIZE.fullmatch(text)
    first, second = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not first or not second:
        raise ValueError(
            f"A size is {order} in pixels, such as 192x128, or 128 for a square. "
            f"Received: size={text!r}"
        )
    return first, second
