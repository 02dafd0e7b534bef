"""Structural similarity."""

import numpy as np

from keras_regen.metrics.validation import check_pair

WINDOW_SIZE = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03


def ssim(reference, video, max_value=None):
    """SSIM of each frame: the mean over channels of the mean over windows.

    The windows are Gaussian, 11x11 with a standard deviation of 1.5 pixels, and lie
    wholly inside the frame. In a frame with a side under 11 they shrink to the largest
    odd size that fits.

    Args:
        reference: array of shape `(..., H, W, 3)`, uint8 or float in [-1, 1].
        video: array of the shape and dtype of `reference`.
        max_value: float. The top of the range of values, where it begins at 0. Defaults
            to 255 for uint8; float in [-1, 1] scores as the same video in [0, 2].

    Returns:
        float64 array of shape `(...,)`, in [-1, 1]; 1 where the frames are equal.

    Raises:
        ValueError: if the arrays are not as above.

    Example:

    >>> ramp = np.tile(np.arange(16, dtype="uint8")[:, None, None], (1, 16, 3))
    >>> float(ssim(ramp, ramp))
    1.0

    Reference:
        Wang et al. 2004, *Image Quality Assessment: From Error Visibility to Structural
        Similarity*, equation 13.
    """
    # The luminance term depends on where the range begins; the paper's begins at 0.
    signed = max_value is None and np.asarray(reference).dtype != "uint8"
    reference, video, max_value = check_pair(reference, video, max_value)
    offset = max_value / 2 if signed else 0.0
    scores = np.empty(reference.shape[:-3])
    window = _window(min(reference.shape[-3:-1]))
    # Frame by frame, so that the float64 maps stay small.
    for frame in np.ndindex(scores.shape):
        x = reference[frame].astype("float64") + offset
        y = video[frame].astype("float64") + offset
        scores[frame] = _frame_ssim(x, y, window, max_value)
    return scores


def _frame_ssim(x, y, window, max_value):
    c1, c2 = (K1 * max_value) ** 2, (K2 * max_value) ** 2
    mean_x, mean_y = _filter(x, window), _filter(y, window)
    # The two variances only appear as their sum.
    mean_squares = mean_x * mean_x + mean_y * mean_y
    variances = _filter(x * x + y * y, window) - mean_squares
    mean_product = mean_x * mean_y
    covariance = _filter(x * y, window) - mean_product
    luminance = (2 * mean_product + c1) / (mean_squares + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return np.mean(luminance * structure)


def _window(side):
    """The Gaussian along one axis, of sum 1."""
    size = min(WINDOW_SIZE, side - (side + 1) % 2)
    distance = np.arange(size) - size // 2
    window = np.exp(-0.5 * np.square(distance / SIGMA))
    return window / window.sum()


def _filter(image, window):
    """Weighted means over the windows inside `image`, `(H, W, 3)`."""
    for axis in (0, 1):
        size = image.shape[axis] - len(window) + 1
        image = np.moveaxis(image, axis, 0)
        # The window is symmetric: add before multiplying.
        half = len(window) // 2
        total = window[half] * image[half : half + size]
        for i in range(half):
            j = len(window) - 1 - i
            total += window[i] * (image[i : i + size] + image[j : j + size])
        image = np.moveaxis(total, 0, axis)
    return image
