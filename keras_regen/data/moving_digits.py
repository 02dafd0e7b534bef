"""Handwritten digits that move, with captions: a small benchmark of generation."""

import dataclasses
from typing import ClassVar, Literal

import numpy as np

from keras_regen.checks import check_whole

DIGITS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
COLOURS = {
    "red": (255, 50, 50),
    "green": (50, 220, 50),
    "blue": (70, 100, 255),
    "yellow": (255, 230, 40),
    "purple": (220, 60, 220),
    "white": (255, 255, 255),
}
# Axis (of rows or columns) and sign.
DIRECTIONS = {"left": (1, -1), "right": (1, 1), "up": (0, -1), "down": (0, 1)}
# Pixels a frame.
SPEEDS = {"slow": 0.5, "quick": 1.5}
ADVERBS = {"slow": "slowly", "quick": "quickly"}
TOWARDS = {"left": "to the left", "right": "to the right", "up": "upwards"} | {
    "down": "downwards"
}
TEMPLATES = (
    "a {colour} {digit} moves {direction} {adverb}",
    "a {speed} {colour} {digit} goes {direction}",
    "the {digit} is {colour} and moves {adverb} {towards}",
    "{adverb}, a {colour} digit {digit} slides {towards}",
    "a {colour} {digit} moves {direction}",
)
SIZE, DIGIT_SIZE = 64, 32
# A digit and a colour are never seen together in training where this is 0.
_HELD_OUT_EVERY = 10
# Of five samples of a digit, one is held out.
_TEST_EVERY = 5


@dataclasses.dataclass(frozen=True)
class MovingDigit:
    """What a clip of `MovingDigits` shows.

    Args:
        digit: int, 0 to 9.
        colour: str, one of `COLOURS`.
        direction: str, one of `DIRECTIONS`.
        speed: str, one of `SPEEDS`.

    Attributes:
        COLOURS: dict from the names of colours to red, green and blue, 0 to 255.
        DIRECTIONS: dict from the names of directions to an axis, 0 for rows or 1 for
            columns, and a sign.
        SPEEDS: dict from the names of speeds to pixels a frame.
        TEMPLATES: tuple of str. The forms of captions; the last leaves the speed open.
    """

    COLOURS: ClassVar = COLOURS
    DIRECTIONS: ClassVar = DIRECTIONS
    SPEEDS: ClassVar = SPEEDS
    TEMPLATES: ClassVar = TEMPLATES

    digit: int
    colour: str
    direction: str
    speed: str

    def caption(self, template: int = 0) -> str:
        """Returns a text that says it.

        Args:
            template: int. Which of the `TEMPLATES`. Defaults to `0`.
        """
        return TEMPLATES[template].format(
            colour=self.colour,
            digit=DIGITS[self.digit],
            direction=self.direction,
            towards=TOWARDS[self.direction],
            speed=self.speed,
            adverb=ADVERBS[self.speed],
        )


def is_held_out(digit: int, colour: str) -> bool:
    """Returns whether a digit and a colour never meet in the split `"train"`."""
    return (digit + 3 * list(COLOURS).index(colour)) % _HELD_OUT_EVERY == 0


class MovingDigits:
    """Clips of a handwritten digit that moves over black, and around the edges.

    Needs scikit-learn, whose digits these are: 1797 pictures of 8x8 pixels. Clip `i`
    depends only on (split, seed, i).

    Args:
        split: `"train"`; `"valid"`, with samples of handwriting that are not in
            `"train"`; or `"held_out"`, with these and pairs of a digit and a colour
            that are not in `"train"`.
        num_clips: int.
        num_frames: int. Frames of a clip. Defaults to `36`.
        seed: int. Defaults to `0`.

    Attributes:
        size: int. Rows and columns of a picture, in pixels.
        digit_size: int. Rows and columns of a digit, in pixels.
        samples: uint8 array of shape `(N, 8, 8)`: the split's handwriting, 0 to 255.
        digits: int array of shape `(N,)`: the digit of each sample.

    Raises:
        ValueError: if an argument is not as above.
        ImportError: if scikit-learn is missing.

    Example:

    >>> clips = MovingDigits("train", num_clips=2, num_frames=4)
    >>> video, text, shown = clips[0]
    >>> video.shape, text
    ((4, 64, 64, 3), 'a blue eight moves right slowly')

    Reference:
        Srivastava et al. 2015, *Unsupervised Learning of Video Representations using
        LSTMs*, section 4.1 (digits that move); E. Alpaydin and C. Kaynak 1998,
        *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository.
    """

    size: ClassVar = SIZE
    digit_size: ClassVar = DIGIT_SIZE

    def __init__(
        self,
        split: Literal["train", "valid", "held_out"],
        num_clips: int,
        num_frames: int = 36,
        seed: int = 0,
    ) -> None:
        splits = ("train", "valid", "held_out")
        if split not in splits:
            raise ValueError(
                f"The splits are {', '.join(splits)}. Received: split={split!r}"
            )
        check_whole(1, 2**31, num_clips=num_clips, num_frames=num_frames)
        check_whole(0, 2**32 - 1, seed=seed)
        self.split = split
        self.num_clips = num_clips
        self.num_frames = num_frames
        self.seed = seed
        self.samples, self.digits = read_samples(test=split != "train")
        # The colours of each digit that has some.
        self._colours = [
            (digit, colours)
            for digit in range(len(DIGITS))
            if (
                colours := [
                    colour
                    for colour in COLOURS
                    if is_held_out(digit, colour) == (split == "held_out")
                ]
            )
        ]
        self._entropy = (splits.index(split), seed)

    def __len__(self) -> int:
        return self.num_clips

    def __getitem__(self, index: int) -> tuple[np.ndarray, str, MovingDigit]:
        """Returns a clip.

        Returns:
            The video, a uint8 array of shape `(num_frames, 64, 64, 3)`; its caption;
            and what it shows.
        """
        if not 0 <= index < self.num_clips:
            raise IndexError(f"There are {len(self)} clips. Received: index={index}")
        rng = np.random.default_rng((*self._entropy, index))
        # Every digit equally often, whatever the number of its samples.
        digit = self._colours[rng.integers(len(self._colours))][0]
        sample = rng.choice(np.flatnonzero(self.digits == digit))
        colours = dict(self._colours)[digit]
        shown = MovingDigit(
            digit,
            *(str(rng.choice(list(names))) for names in (colours, DIRECTIONS, SPEEDS)),
        )
        start = rng.integers(SIZE, size=2)
        video = render(self.samples[sample], shown, start, self.num_frames)
        return video, shown.caption(int(rng.integers(len(TEMPLATES)))), shown


def read_samples(test: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns scikit-learn's digits: those to test with, or the others.

    Returns:
        uint8 array of shape `(N, 8, 8)`, and int array of shape `(N,)`.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "Moving digits are scikit-learn's: pip install scikit-learn"
        ) from error
    loaded = load_digits()
    chosen = (np.arange(len(loaded.target)) % _TEST_EVERY == 0) == test
    samples = np.rint(loaded.images[chosen] * (255 / 16)).astype("uint8")
    return samples, loaded.target[chosen]


def render(
    sample: np.ndarray, shown: MovingDigit, start: np.ndarray, num_frames: int
) -> np.ndarray:
    """Renders a clip.

    Args:
        sample: uint8 array of shape `(8, 8)`.
        shown: a `MovingDigit`.
        start: pair of int. Row and column of the digit's top left corner in the first
            frame.
        num_frames: int.

    Returns:
        uint8 array of shape `(num_frames, 64, 64, 3)`.
    """
    from PIL import Image

    size = (DIGIT_SIZE, DIGIT_SIZE)
    digit = Image.fromarray(sample).resize(size, Image.Resampling.BICUBIC)
    picture = np.zeros((SIZE, SIZE), "float32")
    picture[:DIGIT_SIZE, :DIGIT_SIZE] = digit
    axis, sign = DIRECTIONS[shown.direction]
    picture = np.roll(picture, start, (0, 1))
    offsets = sign * SPEEDS[shown.speed] * np.arange(num_frames)
    whole = np.floor(offsets).astype(int)
    frames = np.stack([np.roll(picture, shift, axis) for shift in whole])
    # Between pixels, linearly.
    part = (offsets - whole).astype("float32")[:, None, None]
    frames += part * (np.roll(frames, 1, axis + 1) - frames)
    colour = np.array(COLOURS[shown.colour], "float32") / 255
    return np.rint(frames[..., None] * colour).astype("uint8")
