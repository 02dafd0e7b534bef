"""The latents of a set of videos, in a directory of files."""

import json
import logging
import os
import pathlib

import numpy as np

from keras_regen.atomic_output import AtomicOutput
from keras_regen.latents.latent_statistics import LatentStatistics
from keras_regen.latents.latents import Latents
from keras_regen.latents.latents_file import LatentsWriter
from keras_regen.video import find_videos

INDEX = "index.json"
logger = logging.getLogger("keras_regen")


class LatentDataset:
    """Encodes a set of videos, a file of latents for each, and goes on where it ended.

    Files appear when they are whole, so what is there is not encoded again. Several
    machines can share the work, each with a shard of the videos. `index.json` lists
    the files, with the mean and standard deviation of every latent channel over all of
    them, which a latent diffusion model normalises by.

    Args:
        codec: a `VideoCodec`.
        source: as for `VideoClips`: a folder, a pattern, a list.
        directory: path of the directory to write.
        dtype: `"float16"` or `"float32"`. How latents are stored. Defaults to
            `"float16"`.
        shard: pair of int `(i, n)`: the videos i, i + n, ... of the sorted list.
            Defaults to `(0, 1)`: all.

    Attributes:
        videos: list of str. Paths of the shard's videos.
        skipped: dict from path to why it could not be encoded.

    Raises:
        ValueError: if there are no videos, or the shard is none.
    """

    def __init__(self, codec, source, directory, dtype="float16", shard=(0, 1)):
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
        self._root = os.path.commonpath([os.path.dirname(v) for v in every])
        self.skipped = {}

    def path(self, video):
        """Path of a video's latents: its own, from what all have in common."""
        # Names that differ by the suffix alone stay apart.
        return self.directory / f"{os.path.relpath(video, self._root)}.h5"

    def encode(self):
        """Encodes what is not there yet, a video at a time.

        A video that cannot be read is noted in `skipped` and logged.

        Yields:
            For every video of the shard its path, and the number of frames encoded now:
            0 if its latents were there, or cannot be made.

        Raises:
            ValueError: if latents are there that another encoder made.
        """
        for video in self.videos:
            path = self.path(video)
            if path.exists():
                self._check(path)
                yield video, 0
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                frames = self._encode(video, path)
            except ValueError as error:
                self.skipped[video] = str(error)
                logger.warning("%s", error)
                frames = 0
            yield video, frames

    def _encode(self, video, path):
        frames = 0
        with LatentsWriter(path, self.dtype) as writer:
            for piece in self.codec.encode_stream(video):
                writer.write(piece)
                frames += len(piece)
        return frames

    def _check(self, path):
        found = Latents.load(path, lazy=True).encoder_id
        if found != self.codec.encoder_id:
            raise ValueError(
                "The latents that are there are another encoder's: give its preset, or "
                f"another directory. Received: encoder_id={self.codec.encoder_id}, "
                f"not {found}, for {path}"
            )

    def write_index(self):
        """Lists all files of latents, those of other shards too, in `index.json`.

        Returns:
            The dict that it holds.

        Raises:
            ValueError: if there are none, or one cannot be read.
        """
        rows, statistics = [], LatentStatistics()
        for path in sorted(self.directory.rglob("*.h5")):
            # Hidden files are being written.
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
