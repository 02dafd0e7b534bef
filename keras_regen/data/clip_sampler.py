"""Which frames of which video make a clip."""

import numpy as np

# Images come from one place of a video, as costly to read as a clip, but further apart.
IMAGE_STRIDES = (1, 2, 4, 8)


class RandomSampler:
    """Clips drawn at random.

    A video's chance is proportional to the square root of its number of frames, so that
    long films do not drown short clips, times its weight. Chances are fixed by what is
    known at the beginning: a video that turns out broken keeps its own, and another
    clip is drawn.

    Args:
        library: a `VideoLibrary`.
        strides: tuple of ints. Frames from one of a clip to the next.
    """

    def __init__(self, library, strides):
        self._library = library
        self._strides = strides
        chances = [np.sqrt(v.num_frames) * v.weight for v in library.videos]
        self._limits = np.cumsum(chances) / np.sum(chances)

    def draw(self, rng, length, image=False):
        """Draws a clip.

        Args:
            rng: NumPy generator.
            length: int. Frames of the clip.
            image: bool. Whether its frames are to be single images.

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
    """All clips of all videos, one after the other.

    Of every video, each `stride`-th frame is kept, and these are cut into consecutive
    clips. Only a tail too short for a clip is lost; margins overlap.

    Args:
        library: an indexed `VideoLibrary`.
        stride: int. Frames from one of a clip to the next.
        num_frames: int. Frames by which clips follow each other.
        margin: int. Frames more before and after.
    """

    def __init__(self, library, stride, num_frames, margin):
        self._paths = [video.path for video in library.videos]
        self._stride = stride
        self._num_frames = num_frames
        counts = [
            (-(-video.num_frames // stride) - 2 * margin) // num_frames
            for video in library.videos
        ]
        self._ends = np.cumsum(counts)

    def __len__(self):
        return int(self._ends[-1])

    def clip(self, number, length):
        """Path and positions of the frames of a clip, `length` with its margins."""
        video = np.searchsorted(self._ends, number, side="right")
        place = number - (self._ends[video - 1] if video else 0)
        start = place * self._num_frames
        return self._paths[video], self._stride * np.arange(start, start + length)

    def draw(self, rng, length, image=False):
        """Another clip, for one that cannot be read."""
        return self.clip(rng.integers(len(self)), length)
