"""The latents of a set of videos, in a directory of files."""

import json
import logging
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_regen.atomic_output import AtomicOutput, OutputError
from keras_regen.latents.latent_statistics import LatentStatistics
from keras_regen.latents.latents import Latents
from keras_regen.types import StrPath
from keras_regen.video import find_videos

if TYPE_CHECKING:
    from keras_regen.codec import VideoCodec

INDEX = "index.json"
logger = logging.getLogger("keras_regen")


class LatentDataset:
    """Encodes a set of videos, each to a file of latents; resumes where it stopped.

    Files appear when they are complete, and a video that has one is not encoded again.
    Several machines can share the work, each with a shard of the videos. `index.json`
    lists the files and holds the mean and standard deviation of every latent channel
    over all files, to normalise the input of a latent diffusion model.

    Args:
        codec: a `VideoCodec`.
        source: a folder, a pattern or a list of them, as for `VideoClips`.
        directory: path of the directory to write.
        dtype: `"float16"` or `"float32"`. How latents are stored. Defaults to
            `"float16"`.
        shard: pair of int `(i, n)`: the videos i, i + n, ... of the sorted list.
            Defaults to `(0, 1)`: all.

    Attributes:
        videos: list of str. Paths of the shard's videos.
        skipped: dict from the path of a video to the reason why it was not encoded.

    Raises:
        ValueError: if there are no videos, some of their paths are absolute and others
            relative, or the shard is not as above.
    """

    def __init__(
        self,
        codec: "VideoCodec",
        source: StrPath | Sequence[StrPath],
        directory: StrPath,
        dtype: Literal["float16", "float32"] = "float16",
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.codec = codec
        self.directory = pathlib.Path(directory)
        self.dtype = dtype
        index, count = shard
        if not 0 <= index < count:
            raise ValueError(
                f"`shard` must be (i, n) with 0 <= i < n. Received: shard={shard}"
            )
        every = list(find_videos(source))
        self.videos = every[index::count]
        _check_one_kind(every)
        self._root = os.path.commonpath([_folder(video) for video in every])
        self.skipped: dict[str, str] = {}

    def path(self, video: str) -> pathlib.Path:
        """Returns the path of a video's latents: its own, below the common folder."""
        # Without `..`, which could lead out of the directory. The suffix is kept, since
        # it may be all that differs between two videos.
        place = os.path.join(_folder(video), os.path.basename(video))
        return self.directory / f"{os.path.relpath(place, self._root)}.h5"

    def encode(self) -> Iterator[tuple[str, int]]:
        """Encodes the videos that have no latents yet, one by one.

        A video that cannot be read is logged and added to `skipped`.

        Yields:
            For every video of the shard its path, and the number of frames that were
            encoded: 0 if its latents existed, or if it was skipped.

        Raises:
            ValueError: if another encoder made the latents that exist.
            OutputError: if a file cannot be written.
        """
        for video in self.videos:
            path = self.path(video)
            if path.exists():
                self._check(path)
                yield video, 0
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                frames = len(self.codec.encode(video, path, dtype=self.dtype))
            except OutputError:
                # Nor could those of the next video be written.
                raise
            except ValueError as error:
                self.skipped[video] = str(error)
                logger.warning("%s", error)
                frames = 0
            yield video, frames

    def _check(self, path):
        found = Latents.load(path, lazy=True).encoder_id
        if found != self.codec.encoder_id:
            raise ValueError(
                "The directory holds another encoder's latents: give its preset, or "
                f"another directory. Received: encoder_id={self.codec.encoder_id}, "
                f"but {found} in {path}"
            )

    def write_index(self) -> dict[str, Any]:
        """Writes `index.json` for all files of latents, of other shards too.

        Returns:
            The dict in the index.

        Raises:
            ValueError: if there are no files, or one cannot be read.
        """
        rows, statistics = [], LatentStatistics()
        for path in sorted(self.directory.rglob("*.h5")):
            # Hidden files are not complete.
            if path.name.startswith("."):
                continue
            latents = Latents.load(path, lazy=True)
            for i in range(latents.num_chunks):
                statistics.update(np.asarray(latents.chunks(i, i + 1))[None])
            rows.append(
                {
                    "latents": path.relative_to(self.directory).as_posix(),
                    "num_chunks": latents.num_chunks,
                    "num_frames": latents.num_frames,
                    "height": latents.height,
                    "width": latents.width,
                    "fps": latents.fps,
                }
            )
        if not rows:
            reasons = "; ".join(self.skipped.values()) or "nothing was encoded"
            raise ValueError(
                f"There are no latents: {reasons}. Received: {self.directory}"
            )
        index = {"files": rows, "latent_statistics": statistics.result()}
        with AtomicOutput(self.directory / INDEX, "index") as output:
            output.temporary.write_text(json.dumps(index, indent=1) + "\n")
        return index


def _folder(video):
    """Returns the absolute path of a video's folder, without `..`."""
    return os.path.abspath(os.path.dirname(video))


def _check_one_kind(videos):
    """Raises ValueError if some paths are absolute and others relative."""
    kinds = {os.path.isabs(video): video for video in videos}
    if len(kinds) > 1:
        raise ValueError(
            "The paths of a dataset's videos must all be absolute, or all relative. "
            f"Received: {kinds[True]} and {kinds[False]}"
        )
