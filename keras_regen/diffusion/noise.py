"""The noise canvas."""

import typing

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_regen.checks import MAX_NOISE_SEED, check_whole
from keras_regen.types import Tensor

# Times in one frame that have different noise.
NOISE_TIME_RESOLUTION = 65536
# Times on the canvas, in frames, and its rows and columns are below these limits.
MAX_NOISE_TIME = 2**32
MAX_NOISE_PIXEL = 2**31

# Salmon et al. 2011, table 4 and section 4.3: rotations and parity of Threefry-2x32.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_INJECTIONS = 5
# Jarzynski and Olano 2020, `pcg4d`: a linear congruential generator.
_MULTIPLIER, _INCREMENT = 1664525, 1013904223
# Bits of a word that become a float32, exactly.
_BITS = 24


class CanvasArea(typing.NamedTuple):
    """Where on the noise canvas each sample of a batch lies.

    Args:
        words: int32 array of shape `(B, F, 4)`: the seed and the time of each frame,
            see `canvas_words`.
        corners: int32 array of shape `(B, 2)`: row and column of the first pixel.
        scale: float32 array of shape `(B,)`: the standard deviation of the noise.
    """

    words: np.ndarray
    corners: np.ndarray
    scale: np.ndarray


def canvas_words(seed: int, times: ArrayLike) -> np.ndarray:
    """Returns a seed and times as the words that address frames of the canvas.

    Args:
        seed: int in [0, 2**64).
        times: float array of any shape. Absolute times in frames, below `2**32` in
            magnitude.

    Returns:
        int32 array of shape `(*times.shape, 4)`: the seed and the time in units of
        1/65536 of a frame, each with its low word first.

    Raises:
        ValueError: if the seed or a time is outside its bounds.
    """
    check_whole(0, MAX_NOISE_SEED, seed=seed)
    times = np.asarray(times, "float64")
    if not np.all(np.abs(times) < MAX_NOISE_TIME):
        raise ValueError(
            "Times on the noise canvas must be finite, and below 2**32 frames in "
            f"magnitude. Received: times={times}"
        )
    ticks = np.rint(times * NOISE_TIME_RESOLUTION).astype("<i8")
    seeds = np.full(times.shape, seed, "<u8")
    words = [x[..., None].view("<i4") for x in (seeds, ticks)]
    return np.concatenate(words, axis=-1).astype("int32")


def draw_noise(area: CanvasArea, height: int | Tensor, width: int | Tensor) -> Tensor:
    """Draws noise from the canvas, in a form that every backend can trace.

    The random bits are equal on all backends, as every operation is one of int32
    with wrap-around.

    Args:
        area: a `CanvasArea` of tensors.
        height: int or int scalar tensor. Rows, in pixels.
        width: int or int scalar tensor. Columns, in pixels.

    Returns:
        float32 tensor of shape `(B, F, height, width, 3)`.
    """
    words, corners = (ops.convert_to_tensor(x, "int32") for x in area[:2])
    frames = [words[..., i, None, None] for i in range(4)]
    row, column = (corners[:, i, None, None, None] for i in range(2))
    rows = row + ops.arange(height, dtype="int32")[:, None]
    columns = column + ops.arange(width, dtype="int32")
    noise = _noise(ops, ops.cast, frames, rows, columns)
    return noise * ops.reshape(ops.convert_to_tensor(area.scale), (-1, 1, 1, 1, 1))


def noise_canvas(
    seed: int, times: ArrayLike, rows: tuple[int, int], columns: tuple[int, int]
) -> np.ndarray:
    """Draws standard normal noise that depends on its position alone.

    Each value is a function of (seed, time, row, column, channel). Decodes crop one
    infinite canvas, so the noise of a chunk, a tile or a frame between two others does
    not depend on what else is decoded. Models draw it by `draw_noise`, where they
    compute; this function draws the same with NumPy, to within 1e-6, for models that
    are exported to take noise.

    A counter-based generator mixes seed and time to the key of a frame, and a hash of
    the key, the row and the column gives the random bits of a pixel. The Box-Muller
    transform makes them normal.

    Args:
        seed: int in [0, 2**64). Picks the canvas.
        times: float array of shape `(F,)`. Absolute times in frames, below `2**32` in
            magnitude.
        rows: tuple of int `(start, stop)`, in absolute pixels, 0 to `2**31`.
        columns: tuple of int `(start, stop)`, in absolute pixels, 0 to `2**31`.

    Returns:
        float32 NumPy array of shape `(F, stop - start, stop - start, 3)`.

    Raises:
        ValueError: if the seed, a time or a range is outside its bounds.

    Example:

    >>> canvas = noise_canvas(0, [0.0, 1.0], (0, 100), (0, 100))
    >>> crop = noise_canvas(0, [1.0], (40, 90), (60, 70))
    >>> bool((canvas[1:, 40:90, 60:70] == crop).all())
    True

    Reference:
        Salmon et al. 2011, *Parallel Random Numbers: As Easy as 1, 2, 3* (Threefry);
        Jarzynski and Olano 2020, *Hash Functions for GPU Rendering* (pcg4d).
    """
    for name, (start, stop) in {"rows": rows, "columns": columns}.items():
        if not 0 <= start < stop <= MAX_NOISE_PIXEL:
            raise ValueError(
                f"`{name}` must be (start, stop) with 0 <= start < stop <= 2**31. "
                f"Received: {name}={(start, stop)}"
            )
    words = canvas_words(seed, times)
    frames = [words[:, i, None, None] for i in range(4)]
    row, column = (np.arange(*x, dtype="int32") for x in (rows, columns))
    return _noise(np, np.ndarray.astype, frames, row[:, None], column)


# Both NumPy and `keras.ops` are given as `xp`, so that there is one implementation.


def _noise(xp, cast, frames, rows, columns):
    key = _threefry(xp, *frames)
    a, b, c, d = _pcg4d(xp, *key, rows, columns)
    # Three channels need three of the four normal numbers that four words give.
    first, second = _radius(xp, cast, a), _radius(xp, cast, c)
    angle, other = _angle(xp, cast, b), _angle(xp, cast, d)
    return xp.stack(
        [first * xp.cos(angle), first * xp.sin(angle), second * xp.cos(other)], axis=-1
    )


def _threefry(xp, k0, k1, x0, x1):
    """Returns two words for a key and a counter of two words, by Threefry-2x32-20."""
    keys = k0, k1, xp.bitwise_xor(xp.bitwise_xor(k0, k1), _PARITY)
    x0, x1 = x0 + k0, x1 + k1
    for i in range(_INJECTIONS):
        for rotation in _ROTATIONS[i % 2]:
            x0 = x0 + x1
            left = xp.bitwise_left_shift(x1, rotation)
            right = _right_shift(xp, x1, 32 - rotation)
            x1 = xp.bitwise_xor(xp.bitwise_or(left, right), x0)
        x0, x1 = x0 + keys[(i + 1) % 3], x1 + keys[(i + 2) % 3] + (i + 1)
    return x0, x1


def _pcg4d(xp, *words):
    """Returns four words that are a hash of four words, which are broadcast."""
    mixed = _mixed(*(word * _MULTIPLIER + _INCREMENT for word in words))
    return _mixed(*(xp.bitwise_xor(word, _right_shift(xp, word, 16)) for word in mixed))


def _mixed(x, y, z, w):
    x = x + y * w
    y = y + z * x
    z = z + x * y
    w = w + y * z
    return x, y, z, w


def _right_shift(xp, word, count):
    """Shifts zeros in, where the shift of an int32 repeats its sign."""
    return xp.bitwise_and(xp.bitwise_right_shift(word, count), (1 << 32 - count) - 1)


def _radius(xp, cast, word):
    # Uniform in (0, 1].
    steps = cast(xp.bitwise_right_shift(word, 32 - _BITS), "float32")
    uniform = (steps + (2.0 ** (_BITS - 1) + 1.0)) * 2.0**-_BITS
    return xp.sqrt(-2.0 * xp.log(uniform))


def _angle(xp, cast, word):
    # Uniform in [-pi, pi).
    steps = cast(xp.bitwise_right_shift(word, 32 - _BITS), "float32")
    return steps * float(np.float32(np.pi * 2.0 ** (1 - _BITS)))
