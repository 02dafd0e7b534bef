"""Choosing the video and the frames of each clip."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_regen.data.video_library import VideoLibrary

# Single images that replace a clip come from one stretch of a video, so that reading
# them costs about as much as the clip, but they are further apart.
IMAGE_STRIDES = (1, 2, 4, 8)


class RandomSampler:
    """Draws clips at random.

    The probability of a video is proportional to its weight times the square root of
    its number of frames, so that long films do not crowd out short clips. It is fixed
    at the start: a video that turns out to be broken is still drawn, and then replaced
    by another clip.

    Args:
        library: a `VideoLibrary`.
        strides: tuple of ints. Steps from one frame of a clip to the next.
    """

    def __init__(self, library: "VideoLibrary", strides: Sequence[int]) -> None:
        self._library = library
        self._strides = strides
        chances = [np.sqrt(v.num_frames) * v.weight for v in library.videos]
        self._limits = np.cumsum(chances) / np.sum(chances)

    def draw(
        self, rng: np.random.Generator, length: int, image: bool = False
    ) -> tuple[str, np.ndarray]:
        """Draws a clip.

        Args:
            rng: NumPy generator.
            length: int. Frames of the clip.
            image: bool. Whether the frames are used as single images.

        Returns:
            Path and positions of the frames, ascending.

        Raises:
            UnreadableError: if the video drawn cannot be read.
        """
        drawn = np.searchsorted(self._limits[:-1], rng.random(), side="right")
        video = self._library.videos[drawn]
        num_frames = self._library.index(video.path).num_frames
        spans = [
            stride * (length - 1)
            for stride in (IMAGE_STRIDES if image else self._strides)
            if stride * (length - 1) < num_frames
        ]
        span = spans[rng.integers(len(spans))]
        start = rng.integers(num_frames - span)
        return video.path, np.linspace(start, start + span, length).round().astype(int)


class DenseSampler:
    """Enumerates all clips of all videos.

    Each `stride`-th frame of a video is kept, and these frames are cut into consecutive
    clips. Only a tail too short for a clip is left out. The margins of clips overlap.

    Args:
        library: an indexed `VideoLibrary`.
        stride: int. Step from one frame of a clip to the next.
        num_frames: int. Frames of a clip without its margins.
        margin: int. Frames of a margin, before and after the clip.
    """

    def __init__(
        self, library: "VideoLibrary", stride: int, num_frames: int, margin: int
    ) -> None:
        self._paths = [video.path for video in library.videos]
        self._stride = stride
        self._num_frames = num_frames
        counts = [
            (-(-video.num_frames // stride) - 2 * margin) // num_frames
            for video in library.videos
        ]
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def clip(self, number: int, length: int) -> tuple[str, np.ndarray]:
        """Returns the path and the frame positions of a clip.

        Args:
            number: int. Which clip.
            length: int. Frames of the clip with its margins.
        """
        video = np.searchsorted(self._ends, number, side="right")
        place = number - (self._ends[video - 1] if video else 0)
        start = place * self._num_frames
        return self._paths[video], self._stride * np.arange(start, start + length)

    def draw(
        self, rng: np.random.Generator, length: int, image: bool = False
    ) -> tuple[str, np.ndarray]:
        """Draws another clip, in place of one that cannot be read."""
        return self.clip(int(rng.integers(len(self))), length)
