"""Training clips cut at random from a folder of videos held in memory."""

import concurrent.futures
import dataclasses
import pathlib

import imageio.v3 as iio
import keras
import numpy as np
from PIL import Image

# Short sides of the copies kept of every video, in pixels; never above its own.
SHORT_SIDES = (128, 176, 256)
SHORT_SIDE_WEIGHTS = (0.5, 0.3, 0.2)


def read_video(path):
    """All frames, uint8 `(T, H, W, 3)`."""
    return iio.imread(path, plugin="pyav")


@dataclasses.dataclass(frozen=True)
class Bucket:
    """One shape of batch.

    Args:
        frames: int. Frames the encoder sees: k + 1, or 1 for images.
        size: int. Side of the square crop in pixels.
        batch_size: int.
        share: float. How often this bucket is drawn, relative to the others.
        margin: int. Frames before and after that are targets too.
    """

    frames: int
    size: int
    batch_size: int
    share: float = 1.0
    margin: int = 0


def resize_short_side(frames, short_side):
    """Resizes frames, `(T, H, W, 3)` uint8, with antialiasing; aspect is kept."""
    height, width = frames.shape[1:3]
    scale = short_side / min(height, width)
    size = (
        max(short_side, round(width * scale)),
        max(short_side, round(height * scale)),
    )
    return np.stack(
        [np.asarray(Image.fromarray(f).resize(size, Image.LANCZOS)) for f in frames]
    )


def load_pyramid(path):
    """A video at each of `SHORT_SIDES` it reaches, list of `(T, H, W, 3)` uint8."""
    frames = read_video(path)
    own = min(frames.shape[1:3])
    return [resize_short_side(frames, side) for side in SHORT_SIDES if side <= own]


class RandomClips(keras.utils.PyDataset):
    """Endless random crops: batch `i` of epoch `e` depends on (seed, e, i) alone.

    Videos are drawn in proportion to the square root of their length, so that long
    films do not drown short clips. Clips are flipped, transposed, reversed and played
    at up to double speed at random.

    Args:
        paths: paths of the videos.
        buckets: the `Bucket`s to draw batches from.
        steps_per_epoch: int.
        seed: int.
    """

    def __init__(self, paths, buckets, steps_per_epoch, seed=0, **kwargs):
        super().__init__(**kwargs)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            self.videos = list(pool.map(load_pyramid, paths))
        self.num_frames = sum(len(video[0]) for video in self.videos)
        self.buckets = buckets
        self.steps_per_epoch = steps_per_epoch
        self.seed = seed
        self.epoch = 0

    def __len__(self):
        return self.steps_per_epoch

    def on_epoch_end(self):
        self.epoch += 1

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, self.epoch, index))
        shares = np.array([bucket.share for bucket in self.buckets])
        bucket = self.buckets[rng.choice(len(shares), p=shares / shares.sum())]
        span = bucket.frames + 2 * bucket.margin
        clips = np.stack(
            [self._clip(rng, span, bucket.size) for _ in range(bucket.batch_size)]
        )
        chunk = clips[:, bucket.margin : bucket.margin + bucket.frames]
        return (chunk, clips) if bucket.margin else (chunk,)

    def _clip(self, rng, span, size):
        weights = np.sqrt([len(v[0]) if len(v[0]) >= span else 0 for v in self.videos])
        pyramid = self.videos[rng.choice(len(weights), p=weights / weights.sum())]
        sides = np.array(SHORT_SIDE_WEIGHTS[: len(pyramid)])
        video = pyramid[rng.choice(len(sides), p=sides / sides.sum())]
        length, height, width, _ = video.shape
        stride = 2 if rng.random() < 0.25 and length >= 2 * span else 1
        start = rng.integers(length - stride * (span - 1))
        top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
        clip = video[
            start : start + stride * (span - 1) + 1 : stride,
            top : top + size,
            left : left + size,
        ]
        if rng.random() < 0.5:
            clip = clip[::-1]
        if rng.random() < 0.5:
            clip = clip[:, :, ::-1]
        if rng.random() < 0.25:
            clip = clip.swapaxes(1, 2)
        return clip


def videos_in(folder):
    """The videos of a folder, sorted."""
    paths = sorted(pathlib.Path(folder).glob("*.mp4"))
    if not paths:
        raise ValueError(f"No .mp4 videos in {folder}")
    return paths
