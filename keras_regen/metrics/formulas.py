"""The formulas of the metrics, for NumPy arrays and Keras tensors.

`xp` is the namespace of the array library: `numpy` or `keras.ops`.
"""

import math
from typing import Any

from keras_regen.types import Tensor

GAUSSIAN, UNIFORM = "gaussian", "uniform"
WINDOWS = (GAUSSIAN, UNIFORM)
GAUSSIAN_SIZE, SIGMA = 11, 1.5
UNIFORM_SIZE = 7
# For values in a range of width 2.
C1, C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2


def mean_square(
    difference: Tensor, width: float, axis: int | tuple[int, ...] | None, xp: Any
) -> Tensor:
    """Returns the mean square of a difference, in units of `width` squared."""
    return xp.mean(xp.square(difference), axis=axis) / width**2


def decibels(error: Tensor, xp: Any) -> Tensor:
    """Returns the signal-to-noise ratio of a relative mean square error."""
    return -10 * xp.log10(error)


def window_weights(window: str, side: int) -> list[float]:
    """Returns window weights along one axis: an odd number of them that fits `side`."""
    size = GAUSSIAN_SIZE if window == GAUSSIAN else UNIFORM_SIZE
    size = min(size, side - (side + 1) % 2)
    sigma = SIGMA if window == GAUSSIAN else math.inf
    weights = [math.exp(-0.5 * ((i - size // 2) / sigma) ** 2) for i in range(size)]
    return [weight / sum(weights) for weight in weights]


def structural_similarity(
    x: Tensor, y: Tensor, window: str, side: int, xp: Any
) -> Tensor:
    """Computes the SSIM of each frame of two videos, over windows inside the frame.

    Args:
        x, y: float in [-1, 1], of shape `(..., H, W, 3)`.
        window: `"gaussian"`, or `"uniform"` with unbiased variances.
        side: int. The smaller of `H` and `W`.
        xp: namespace.

    Returns:
        Shape `(...,)`.
    """
    weights = window_weights(window, side)
    mean_x, mean_y = _filter(x, weights), _filter(y, weights)
    # The two variances only appear as their sum.
    variances = _filter(x * x + y * y, weights) - mean_x * mean_x - mean_y * mean_y
    covariance = _filter(x * y, weights) - mean_x * mean_y
    if window == UNIFORM:
        count = len(weights) ** 2
        unbiased = count / max(1, count - 1)
        variances, covariance = unbiased * variances, unbiased * covariance
    # The luminance term depends on the start of the range, which is 0 in the paper.
    mean_x, mean_y = mean_x + 1, mean_y + 1
    luminance = 2 * mean_x * mean_y + C1
    luminance = luminance / (mean_x * mean_x + mean_y * mean_y + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return xp.mean(luminance * structure, axis=(-3, -2, -1))


def _filter(video, weights):
    """Returns weighted means over the windows inside the frames."""
    half, last = len(weights) // 2, len(weights) - 1
    for axis in (0, 1):
        # The window is symmetric: add before multiplying.
        total = weights[half] * _slice(video, half, half - last, axis)
        for i in range(half):
            pair = _slice(video, i, i - last, axis) + _slice(video, last - i, -i, axis)
            total = total + weights[i] * pair
        video = total
    return video


def _slice(video, start, stop, axis):
    rows = slice(start, stop or None)
    return video[..., rows, :, :] if axis == 0 else video[..., rows, :]
