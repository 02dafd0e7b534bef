"""Batches of clips of many videos, to train on."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_regen.checks import check_real, check_whole
from keras_regen.data.augmentation import HorizontalFlip, LayerAugmentation
from keras_regen.data.bucket import BatchShape, BatchShapes, Bucket, make_buckets
from keras_regen.data.clip_sampler import DenseSampler, RandomSampler
from keras_regen.data.crop import Crop
from keras_regen.data.video_library import VideoLibrary
from keras_regen.hardware import num_cpus
from keras_regen.types import StrPath
from keras_regen.video import UnreadableError, find_videos

# Clips to draw for one place in a batch before giving up.
MAX_DRAWS = 1000
# Keys that separate the random streams of one seed.
ORDER, BATCH, CLIP = range(3)
# Arguments of random sampling, with the values that dense sampling needs.
RANDOM_ONLY = {"image_share": 0, "zoom": (1, 1), "steps_per_epoch": None}


class VideoClips(keras.utils.PyDataset):
    """Batches of clips, read from video files while the model trains.

    `fit(VideoClips("videos/", 9, size=128, batch_size=8))` trains on any backend.

    With `sampling="random"` each clip is drawn: first a video, with a probability
    proportional to the square root of its number of frames, then a stretch of it, and
    the size and position of the crop. With `sampling="dense"` every video is cut into
    consecutive clips, cropped in the centre, and each comes once an epoch. The last
    frames of a video, too few for a clip, are left out, and the last batch may be
    smaller. Dense clips are for evaluation, and for statistics of a whole data set.

    Files are opened when needed, and decoded from the keyframe before a clip. A file
    that cannot be read, in whole or in part, is recorded in `skipped` and logged once,
    by the logger `keras_regen`; its clips are replaced by other clips.

    Batch `i` of epoch `e` depends only on the files, the arguments and (seed, e, i):
    not on workers, nor on earlier reads. `fit` shuffles the order of the batches by
    Python's `random`, unless it is called with `shuffle=False`. To repeat a training
    exactly, do that, and build the model first: for an unbuilt model Keras reads
    batches before the first epoch, which counts as an epoch.

    Args:
        source: path of a folder, which is searched with all its subfolders for video
            files, and in which each folder of numbered images is a video; path of a
            video; a pattern such as `"films/**/*.mp4"`; path of a `.csv` with a column
            `path`, relative to the CSV, and optionally `weight`; or a list of these.
            Videos are sorted by path.
        num_frames: int. Frames of a clip: k + 1 for a model of temporal compression k.
        size: int or pair of ints (height, width), multiples of 8; or a `Bucket` or
            sequence of `Bucket`s. Each batch is of one bucket, drawn by their shares.
        batch_size: int. Clips in a batch; None with buckets, which have their own.
            Defaults to `None`.
        sampling: `"random"` or `"dense"`. Defaults to `"random"`.
        steps_per_epoch: int or None. Batches in an epoch of random clips. Defaults to
            the number of batches that together have as many frames as the videos.
        strides: tuple of ints. Steps from one frame of a clip to the next: random clips
            draw one of them, dense clips take the first. Defaults to `(1,)`.
        margin: int. Frames before and after the clip that are targets too. Defaults to
            `0`.
        image_share: float from 0 to 1. Share of the batches that have single images, to
            train the first frame of chunks. Such a batch has `batch_size * num_frames`
            images from `batch_size` places, so that it costs about as much as one of
            clips. Random sampling only. Defaults to `0.0`.
        zoom: pair of floats, 1 or more. Range of the size of a frame, relative to the
            smallest one that covers the crop; its logarithm is drawn uniformly. Frames
            are enlarged only if they would not cover the crop. Random sampling only.
            Defaults to `(1.0, 1.0)`.
        augmentation: sequence of image preprocessing layers of Keras or KerasCV for
            values in [0, 255], such as `keras.layers.RandomBrightness(0.1)` or
            `keras_cv.layers.RandAugment((0, 255))`, which keep the size. All frames of
            a clip are changed equally. KerasCV's run in TensorFlow on every backend.
            Defaults to mirroring half of the clips, and to nothing for dense sampling.
        shuffle: bool. Whether dense clips come in a new order in every epoch. Defaults
            to `False`.
        seed: int, 0 or more. Defaults to `0`.
        replica: int, 0 or more. Number of this process among those that train together.
            Each draws its own clips, in batches of the same shapes. Defaults to `0`.
        cache_bytes: int. Bytes of decoded videos to keep in memory, for data that fit.
            Defaults to `0`.
        workers: int or None. Threads, or processes, that read batches ahead. Defaults
            to the number of CPUs, from 2 to 8.
        use_multiprocessing: bool. Whether to use processes in place of threads. Each
            has its own `skipped`, open files and cache. Reading and scaling release
            Python's lock, so threads are as fast and need less memory. Defaults to
            `False`.
        max_queue_size: int. Batches to read ahead. Defaults to `10`.

    Attributes:
        epoch: int. The epoch that is read. `fit` counts it up; set it when you resume a
            training or write your own loop.
        num_videos: int. Videos that clips are taken from.
        skipped: dict from path, str, to why all or part of the file was skipped.
        num_skipped: int. Files in `skipped`.

    Returns:
        Batches `(chunk,)`, or with a margin m `(chunk, target)`: uint8 arrays of shape
        `(B, num_frames, H, W, 3)` and `(B, num_frames + 2m, H, W, 3)`. Images are
        `(image,)` or `(image, image)`, of shape `(B * num_frames, 1, H, W, 3)`.

    Raises:
        ValueError: if an argument is out of range, or no video is found or readable;
            while reading, if none of many clips drawn can be read.

    Example:

    >>> from keras_regen.data import VideoClips
    >>> from keras_regen.video import bundled_clip
    >>> clips = VideoClips(bundled_clip(), 9, size=(64, 96), batch_size=2, margin=1)
    >>> [(array.shape, array.dtype.name) for array in clips[0]]
    [((2, 9, 64, 96, 3), 'uint8'), ((2, 11, 64, 96, 3), 'uint8')]
    >>> dense = VideoClips(bundled_clip(), 9, 64, batch_size=3, sampling="dense")
    >>> [len(chunk) for chunk, in dense]
    [3, 1]
    """

    def __init__(
        self,
        source: StrPath | Sequence[StrPath],
        num_frames: int,
        size: int | tuple[int, int] | Bucket | Sequence[Bucket],
        batch_size: int | None = None,
        sampling: Literal["random", "dense"] = "random",
        steps_per_epoch: int | None = None,
        strides: Sequence[int] = (1,),
        margin: int = 0,
        image_share: float = 0.0,
        zoom: tuple[float, float] = (1.0, 1.0),
        augmentation: Sequence[keras.layers.Layer] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        replica: int = 0,
        cache_bytes: int = 0,
        workers: int | None = None,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ) -> None:
        super().__init__(
            min(8, max(2, num_cpus())) if workers is None else workers,
            use_multiprocessing,
            max_queue_size,
        )
        self.source = source
        self.num_frames = num_frames
        self.size = size
        self.batch_size = batch_size
        self.sampling = sampling
        self.steps_per_epoch = steps_per_epoch
        self.strides = tuple(strides)
        self.margin = margin
        self.image_share = image_share
        self.zoom = tuple(zoom)
        self.augmentation = augmentation
        self.shuffle = shuffle
        self.seed = seed
        self.replica = replica
        self.cache_bytes = cache_bytes
        self.epoch = 0
        self._epoch_began = False
        self._buckets = make_buckets(size, batch_size)
        self._check_arguments()
        self._augment = self._make_augmentation()
        self._dense = sampling == "dense"
        stride = self.strides[0] if self._dense else min(self.strides)
        self._library = VideoLibrary(
            find_videos(source),
            stride * (self._length - 1) + 1,
            self._dense,
            cache_bytes,
        )
        self._sampler: Any
        if self._dense:
            self._sampler = DenseSampler(self._library, stride, num_frames, margin)
        else:
            self._sampler = RandomSampler(self._library, self.strides)
        self._shapes = BatchShapes(self._buckets, image_share)
        self._num_batches = self._count_batches()
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def num_videos(self) -> int:
        """Videos that clips are taken from."""
        return len(self._library.videos)

    @property
    def skipped(self) -> dict[str, str]:
        """Dict from path to why all or part of the file was skipped."""
        return dict(self._library.skipped)

    @property
    def num_skipped(self) -> int:
        """Number of files of which all or part was skipped."""
        return len(self._library.skipped)

    def __len__(self) -> int:
        return self._num_batches

    def on_epoch_begin(self) -> None:
        self._epoch_began = True

    def on_epoch_end(self) -> None:
        # Keras also calls this once before the first epoch. `on_epoch_begin` would be
        # too late to count, since the workers start before it.
        self.epoch += self._epoch_began
        self._epoch_began = False

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: index={index}")
        if self._dense:
            shape = BatchShape(self._buckets[0], image=False)
            size = self._buckets[0].batch_size
            numbers = self._numbers()[index * size : (index + 1) * size]
            drawn = [self._sampler.clip(number, self._length) for number in numbers]
        else:
            shape = self._shapes.draw(index, self._rng(BATCH, index))
            drawn = [None] * shape.bucket.batch_size
        bucket = shape.bucket
        length = self.num_frames if shape.image else self._length
        clips = np.empty((len(drawn), length, bucket.height, bucket.width, 3), "uint8")
        for i, place in enumerate(drawn):
            self._fill(clips[i], place, shape, self._rng(CLIP, index, i, self.replica))
        if shape.image:
            clips = clips.reshape(-1, 1, *clips.shape[2:])
            return (clips, clips) if self.margin else (clips,)
        chunk = clips[:, self.margin : self.margin + self.num_frames]
        return (chunk, clips) if self.margin else (chunk,)

    # === Clips ===

    @property
    def _length(self):
        """Frames of a clip with its margins."""
        return self.num_frames + 2 * self.margin

    def _rng(self, *key):
        return np.random.default_rng((self.seed, self.epoch, *key))

    def _numbers(self):
        """Returns the numbers of the dense clips in the order of this epoch."""
        if not self.shuffle:
            return range(len(self._sampler))
        if self._order is None or self._order[0] != self.epoch:
            numbers = self._rng(ORDER).permutation(len(self._sampler))
            self._order = (self.epoch, numbers)
        return self._order[1]

    def _fill(self, clip, place, shape, rng):
        """Reads a clip into its place in the batch, or another if it is unreadable."""
        for _ in range(MAX_DRAWS):
            # A clip fails at the same point of the random stream on every read.
            try:
                path, positions = place or self._sampler.draw(
                    rng, len(clip), shape.image
                )
                self._read(clip, path, positions, shape, rng)
                return
            except UnreadableError:
                place = None
        raise ValueError(
            f"None of {MAX_DRAWS} clips drawn can be read. "
            f"Received: source={self.source}; {self._library.reasons()}"
        )

    def _read(self, clip, path, positions, shape, rng):
        # Images are cropped and augmented one by one, the frames of a clip together.
        parts = clip[:, None] if shape.image else clip[None]
        crops = [self._crop(shape.bucket, rng) for _ in parts]
        crops = crops if shape.image else crops * len(clip)
        self._library.read(path, positions, crops, out=clip)
        if self._augment is not None:
            for part in parts:
                part[:] = self._augment(part, rng)

    def _crop(self, bucket, rng):
        if self._dense:
            return Crop(bucket.height, bucket.width)
        low, high = np.log(self.zoom)
        zoom, top, left = rng.random(3)
        return Crop(
            bucket.height, bucket.width, math.exp(low + zoom * (high - low)), top, left
        )

    # === Arguments ===

    def _check_arguments(self):
        if self.sampling not in ("random", "dense"):
            raise ValueError(
                '`sampling` must be "random" or "dense". '
                f"Received: sampling={self.sampling!r}"
            )
        check_whole(1, math.inf, num_frames=self.num_frames)
        if self.steps_per_epoch is not None:
            check_whole(1, math.inf, steps_per_epoch=self.steps_per_epoch)
        names = ("margin", "seed", "replica", "cache_bytes")
        check_whole(0, math.inf, **{name: getattr(self, name) for name in names})
        check_real(0, 1, image_share=self.image_share)
        if not self.strides or not all(
            isinstance(stride, int | np.integer) and stride >= 1
            for stride in self.strides
        ):
            raise ValueError(
                "`strides` must be a tuple of ints, 1 or more. "
                f"Received: strides={self.strides}"
            )
        if len(self.zoom) != 2 or not 1 <= self.zoom[0] <= self.zoom[1] < math.inf:
            raise ValueError(
                "`zoom` must be a pair of floats, 1 or more, the smaller first. "
                f"Received: zoom={self.zoom}"
            )
        if self.sampling == "dense":
            self._check_dense()
        elif self.shuffle:
            raise ValueError(
                "`shuffle` is for dense sampling; random clips are always in random "
                f"order. Received: shuffle={self.shuffle}"
            )

    def _check_dense(self):
        for name, neutral in RANDOM_ONLY.items():
            value = getattr(self, name)
            if value != neutral:
                raise ValueError(
                    f"`{name}` is for random sampling; dense clips need {neutral}. "
                    f"Received: {name}={value}"
                )
        if len(self._buckets) > 1:
            raise ValueError(
                f"Dense clips must have one size. Received: size={self.size}"
            )

    def _make_augmentation(self):
        if self.augmentation is None:
            return None if self.sampling == "dense" else HorizontalFlip()
        return LayerAugmentation(self.augmentation) if self.augmentation else None

    def _count_batches(self):
        if self._dense:
            return math.ceil(len(self._sampler) / self._buckets[0].batch_size)
        if self.steps_per_epoch is not None:
            steps = self.steps_per_epoch
        else:
            per_batch = sum(
                share * shape.bucket.batch_size * self.num_frames
                for shape, share in self._shapes.shares.items()
            )
            total = sum(video.num_frames for video in self._library.videos)
            steps = max(1 + self._shapes.varied, math.ceil(total / per_batch))
        if steps == 1 and self._shapes.varied:
            raise ValueError(
                "With batches of several shapes an epoch must have at least 2. "
                f"Received: steps_per_epoch={steps}"
            )
        return steps
