"""Checks of arguments and of JSON that come from users and from files."""

import difflib
import functools
import inspect
import json
import math
import numbers
import os
import pathlib
import reprlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from keras_regen.types import StrPath

if TYPE_CHECKING:
    import numpy as np

# Far deeper than what this package writes, and far less than Python's own limit, so
# that functions may walk through what was read.
MAX_NESTING = 64
MAX_TEXT_BYTES = 2**26
LARGEST = sys.float_info.max
# Keras's random generators hold a seed in 32 bits, which are signed on PyTorch.
MAX_SEED = 2**31 - 1
# The noise canvas holds a seed in 64 bits.
MAX_NOISE_SEED = 2**64 - 1
# Frames per second, and times the speed, at which frame numbers stay exact.
FPS_RANGE = 1e-6, 1e6
# No video is longer than thirty years.
MAX_SECONDS = 1e9
# Calls of a model for one sample that nobody means to ask for.
MAX_STEPS = 10**4
# Other names under which users know an argument.
_OTHER_NAMES = {"k": "temporal_compression"}

_P = ParamSpec("_P")
_R = TypeVar("_R")


def suggest_arguments(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Makes a function tell which argument was meant by an unknown one.

    Args:
        function: callable. A function with `**kwargs` refuses only the names in
            `_OTHER_NAMES`.

    Returns:
        The function, which raises TypeError for an unknown keyword argument.

    Example:

    >>> @suggest_arguments
    ... def decode(latents, num_steps=1):
    ...     return num_steps
    >>> decode(0, steps=4)
    Traceback (most recent call last):
    TypeError: `decode` has no argument `steps`: did you mean `num_steps`? ...
    """
    parameters = inspect.signature(function).parameters
    is_open = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = [name for name in parameters if name not in ("self", "cls", "kwargs")]
    # Of a class, whose arguments those of `__init__` are.
    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @functools.wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for name in kwargs.keys() - parameters.keys():
            meant = _OTHER_NAMES.get(name)
            if meant not in names:
                if is_open:
                    continue
                meant = next(iter(difflib.get_close_matches(name, names, 1, 0.5)), None)
            hint = (
                f"did you mean `{meant}`?" if meant else f"it has {', '.join(names)}."
            )
            raise TypeError(
                f"`{called}` has no argument `{name}`: {hint} "
                f"Received: {name}={reprlib.repr(kwargs[name])}"
            )
        return function(*args, **kwargs)

    return checked


def check_whole(low: int, high: float, **values: Any) -> None:
    """Checks that values are whole numbers: of an integer type and not bool.

    Args:
        low: int. The lowest that is allowed.
        high: int. The highest that is allowed; infinity for any.
        **values: the values by the names of their arguments.

    Raises:
        ValueError: if one is not.

    Example:

    >>> check_whole(1, 8, depth=4)
    """
    for name, value in values.items():
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or not low <= value <= high:
            bounds = (
                f" from {low} to {high}" if high < math.inf else f", at least {low}"
            )
            raise ValueError(
                f"`{name}` must be a whole number{bounds}. "
                f"Received: {name}={reprlib.repr(value)}"
            )


def check_real(low: float, high: float, **values: Any) -> None:
    """Checks that values are finite numbers and not bool.

    Args:
        low: float. The lowest that is allowed.
        high: float. The highest that is allowed; infinity for any finite number.
        **values: the values by the names of their arguments.

    Raises:
        ValueError: if one is not.
    """
    for name, value in values.items():
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        # A whole number may be too large for a float.
        if not real or not max(low, -LARGEST) <= value <= min(high, LARGEST):
            bounds = f"from {low} to {high}" if high < math.inf else f"at least {low}"
            raise ValueError(
                f"`{name}` must be a finite number, {bounds}. "
                f"Received: {name}={reprlib.repr(value)}"
            )


def check_flags(**values: Any) -> None:
    """Checks that values are bools.

    Args:
        **values: the values by the names of their arguments.

    Raises:
        ValueError: if one is not.
    """
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ValueError(
                f"`{name}` must be True or False. "
                f"Received: {name}={reprlib.repr(value)}"
            )


def check_finite(array: "np.ndarray", message: str) -> None:
    """Checks that an array has no NaN or infinite values.

    Raises:
        ValueError: if it has; the error begins with `message`.
    """
    # Imported when called, since it takes long and help does without.
    import numpy as np

    finite = np.isfinite(array)
    if not np.all(finite):
        raise ValueError(
            f"{message} Received: {np.count_nonzero(~finite)} NaN or infinite values"
        )


def check_path(path: StrPath) -> pathlib.Path:
    """Returns a `pathlib.Path`.

    Raises:
        ValueError: if it is no path, such as an open file.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(
            "A path must be a str or a `pathlib.Path`; what is in memory goes through "
            f"a temporary file. Received: {type(path).__name__}"
        )
    return pathlib.Path(path)


def parse_json(text: str | bytes) -> Any:
    """Parses JSON that need not be trusted.

    Args:
        text: str or bytes.

    Raises:
        ValueError: if it is not JSON, or is nested deeper than 64 levels.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    # One level of nesting after the other, since recursion is what may fail.
    level = [value]
    for _ in range(MAX_NESTING + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return value
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
    raise _too_deep()


def read_small(path: pathlib.Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Returns the bytes of a file that need not be trusted.

    Args:
        path: `pathlib.Path`.
        max_bytes: int. Defaults to 64 MiB.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is a device or another thing that is not a file, or is larger
            than `max_bytes`; the message is the reason alone.
    """
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError("it is not a file")
    if size > max_bytes:
        raise ValueError(f"it has {size} bytes, more than {max_bytes}")
    return path.read_bytes()


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON object, a dict, from a file that need not be trusted.

    Args:
        path: `pathlib.Path`.

    Raises:
        ValueError: if the file cannot be read, is larger than 64 MiB, or does not hold
            an object as for `parse_json`.
    """
    try:
        value = parse_json(read_small(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path} is not JSON: {reason}") from error
    if not isinstance(value, dict):
        raise ValueError(
            f"{path} must hold a JSON object. Received: {reprlib.repr(value)}"
        )
    return value


def _too_deep():
    return ValueError(f"it is nested deeper than {MAX_NESTING} levels")
