"""Reads what a clip of moving digits shows."""

import numpy as np
from sklearn.svm import SVC

from keras_regen.data import MovingDigit, MovingDigits

_SIZE = MovingDigits.size
# Pixels that are kept around the middle of a digit, at every second.
_HALF = MovingDigits.digit_size // 2 + 2
_STRIDE = 2


class DigitReader:
    """Tells digit, colour, direction and speed of clips.

    The digit is read by a support vector machine from the mean of the frames, each
    moved to its centre; the motion by how the centre moves. Pictures go around their
    edges, so the centre is the phase of the first Fourier coefficient.

    Args:
        num_clips: int. Clips of the split `"train"` to learn from. Defaults to 4000.
    """

    def __init__(self, num_clips=4000):
        # Short clips that do not start in one place show every position of the pixels.
        clips = MovingDigits("train", num_clips, num_frames=4, seed=1)
        videos, _, shown = zip(*(clips[i] for i in range(num_clips)), strict=True)
        pictures = [_centred(_grey(video)) for video in videos]
        self._classifier = SVC(C=10, gamma="scale")
        self._classifier.fit(np.stack(pictures), [x.digit for x in shown])

    def __call__(self, video):
        """Reads a clip.

        Args:
            video: uint8 array of shape `(T, 64, 64, 3)`, T at least 2.

        Returns:
            A `MovingDigit`.
        """
        grey = _grey(video)
        velocity = np.array([_velocity(grey, axis) for axis in (0, 1)])
        axis = int(np.argmax(np.abs(velocity)))
        sign = 1 if velocity[axis] > 0 else -1
        (direction,) = (
            x for x, way in MovingDigit.DIRECTIONS.items() if way == (axis, sign)
        )
        speed = min(
            MovingDigit.SPEEDS,
            key=lambda x: abs(MovingDigit.SPEEDS[x] - abs(velocity[axis])),
        )
        seen = np.einsum("thwc,thw->c", video.astype("float64"), grey)
        seen /= seen.max() + 1e-9
        colour = min(
            MovingDigit.COLOURS,
            key=lambda x: np.square(
                seen - np.divide(MovingDigit.COLOURS[x], max(MovingDigit.COLOURS[x]))
            ).sum(),
        )
        digit = self._classifier.predict(_centred(grey)[None])[0]
        return MovingDigit(int(digit), colour, direction, speed)


def _grey(video):
    """Returns the brightness of a clip, without faint noise."""
    grey = video.max(axis=-1).astype("float64") / 255
    return np.where(grey > 0.2, grey, 0.0)


def _phases(grey, axis):
    """Returns the place of the centre along an axis in every frame, in pixels."""
    profile = grey.sum(axis=2 - axis)
    coefficient = profile @ np.exp(2j * np.pi * np.arange(_SIZE) / _SIZE)
    return np.unwrap(np.angle(coefficient)) * _SIZE / (2 * np.pi)


def _velocity(grey, axis):
    """Returns pixels a frame along an axis: the slope of a straight line."""
    places = _phases(grey, axis)
    return np.polyfit(np.arange(len(places)), places, 1)[0]


def _centred(grey):
    """Returns the mean of the frames, each moved to its centre, as a vector."""
    shifts = np.rint([_phases(grey, axis) for axis in (0, 1)]).astype(int).T
    middle = _SIZE // 2
    moved = [
        np.roll(frame, middle - shift, (0, 1))
        for frame, shift in zip(grey, shifts, strict=True)
    ]
    picture = np.mean(moved, axis=0)
    part = slice(middle - _HALF, middle + _HALF)
    picture = picture[part, part]
    size = len(picture) // _STRIDE
    picture = picture.reshape(size, _STRIDE, size, _STRIDE).mean((1, 3)).ravel()
    return picture / (np.linalg.norm(picture) + 1e-9)
