"""The latents of a set of videos, in a directory of files."""

import hashlib
import json
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_regen.atomic_output import OutputError
from keras_regen.latents.dataset_index import TEXT, PartialIndex, write_index
from keras_regen.latents.latents import Latents
from keras_regen.latents.latents_file import stored_video
from keras_regen.text import TextEmbeddings, TextEncoder
from keras_regen.types import LatentsDtype, StrPath
from keras_regen.video import find_conditions, find_videos, video_digest

if TYPE_CHECKING:
    from keras_regen.codec import VideoCodec

logger = logging.getLogger("keras_regen")


class LatentDataset:
    """Encodes a set of videos, each to a file of latents; resumes where it stopped.

    Files appear when they are complete, and a video that has one is not encoded again.
    A file lies where its video does, seen from the folder that all videos of the set
    have in common, and tells its video from others. So the videos of another set need
    other places: where they would take those of the first, or where the same videos
    would get new ones, nothing is encoded.

    Several machines can share the work, each with a shard of the videos. `index.json`
    lists the files and holds the mean and standard deviation of every latent channel
    over all files, to normalise the input of a latent diffusion model.

    The columns `text` and `label` of a `.csv` of videos go to the index too, in place
    of what an earlier index says. A video may have several rows, of a text each. Labels
    are names, or whole numbers below 100,000, which stay what they are.

    Args:
        codec: a `VideoCodec`; None if nothing is encoded.
        source: a folder, a pattern, a `.csv` or a list of them, as for `VideoClips`.
        directory: path of the directory to write.
        dtype: `"float16"` or `"float32"`. How latents are stored. Defaults to
            `"float16"`.
        shard: pair of int `(i, n)`: the videos i, i + n, ... of the sorted list.
            Defaults to `(0, 1)`: all.

    Attributes:
        videos: list of str. Paths of the shard's videos.
        texts: list of str. All texts of all videos, each once.
        skipped: dict from the path of a video to the reason why it was not encoded.
        part: what `finish` need not read again, after `encode_with_ray`, or None.

    Raises:
        ValueError: if there are no videos, some of their paths are absolute and others
            relative, a video has two labels, or the shard is not as above.
    """

    def __init__(
        self,
        codec: "VideoCodec | None",
        source: StrPath | Sequence[StrPath],
        directory: StrPath,
        dtype: LatentsDtype = "float16",
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
        self.shard = shard
        self._every = list(find_videos(source))
        self.videos = self._every[index::count]
        _check_one_kind(self._every)
        self._root = os.path.commonpath([_folder(video) for video in self._every])
        self._conditions = find_conditions(source)
        _check_one_label(self._conditions)
        rows = self._conditions.values()
        self.texts = sorted({text for row in rows for text in row.get("text", [])})
        self._text = self.directory / TEXT
        if clash := [video for video in self._every if self.path(video) == self._text]:
            raise ValueError(
                f"A video's latents would be in {TEXT}, which holds the embeddings of "
                f"texts: give it another name. Received: {clash[0]}"
            )
        self.skipped: dict[str, str] = {}
        self.part: PartialIndex | None = None

    def path(self, video: str) -> pathlib.Path:
        """Returns the path of a video's latents: its own, below the common folder."""
        # Without `..`, which could lead out of the directory. The suffix is kept, since
        # it may be all that differs between two videos.
        place = os.path.join(_folder(video), os.path.basename(video))
        return self.directory / f"{os.path.relpath(place, self._root)}.h5"

    def encode(self) -> Iterator[tuple[str, int]]:
        """Checks the videos that have latents, then encodes the others one by one.

        A video that cannot be read is logged and added to `skipped`.

        Yields:
            For every video of the shard its path, and the number of frames that were
            encoded: 0 if its latents existed, or if it was skipped.

        Raises:
            ValueError: if there is no codec, the latents that exist are of another
                video, encoder, chunking or dtype, or those of a video are elsewhere in
                the directory.
            OutputError: if a file cannot be written.
        """
        self.check_places()
        # Those with latents come first: if they do not fit, nothing is encoded.
        videos = sorted(self.videos, key=lambda video: not self.path(video).exists())
        with self._codec.fixed_weights():
            for video in videos:
                yield video, self.encode_video(video)

    @property
    def _codec(self):
        if self.codec is None:
            raise ValueError("To encode, give a codec. Received: codec=None")
        return self.codec

    def encode_video(self, video: str) -> int:
        """Encodes one video; see `encode`.

        Returns:
            The number of frames that were encoded.
        """
        codec, path = self._codec, self.path(video)
        if path.exists():
            self._check_video(video)
            self._check(codec, path)
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return len(codec.encode(video, path, dtype=self.dtype))
        except OutputError:
            # Nor could those of the next video be written.
            raise
        except ValueError as error:
            self.skipped[video] = str(error)
            logger.warning("%s", error)
            return 0

    def check_places(self) -> None:
        """Raises ValueError if latents of a video are in a file of another path.

        They are if the videos of an earlier set had another folder in common.
        """
        ours = set(map(self.path, self._every))
        others = [path for path in self._files() if path not in ours]
        known = {video: path for path in others if (video := stored_video(path))}
        for video in self.videos if known else ():
            digest = video_digest(video)
            if digest in known and not self.path(video).exists():
                raise ValueError(
                    f"The latents of {video} are in the directory as {known[digest]}: "
                    "give the folders of then, another directory, or rename the file "
                    f"to {self.path(video)}. Received: {self.directory}"
                )

    def _check_video(self, video):
        """Raises ValueError if the latents of a video are known to be of another."""
        path = self.path(video)
        digests = stored_video(path), video_digest(video)
        if None not in digests and len(set(digests)) > 1:
            raise ValueError(
                "The directory holds latents of another video of this name, or of "
                "what it was: give another directory, or delete the file. "
                f"Received: {video}, whose latents would be {path}"
            )

    def _check(self, codec, path):
        """Raises ValueError if a file of latents was not encoded as others will be."""
        latents = Latents.load(path, lazy=True)
        for name, found, wanted in (
            ("encoder_id", latents.encoder_id, codec.encoder_id),
            ("chunking", latents.chunking, codec.chunking),
            ("dtype", latents.array.dtype.name, self.dtype),
        ):
            if found != wanted:
                raise ValueError(
                    "The directory holds latents of another encoder, chunking or "
                    "dtype: repeat those, or give another directory. "
                    f"Received: {name}={wanted}, but {found} in {path}"
                )

    def embed_texts(
        self,
        encoder: TextEncoder,
        progress: Callable[[int, int], None] | None = None,
    ) -> TextEmbeddings:
        """Embeds all texts of the CSV, each once, to `text.h5` in the directory.

        Args:
            encoder: a `TextEncoder`.
            progress: as for `TextEmbeddings.create`.

        Raises:
            ValueError: if there are no texts, or another encoder made the embeddings
                that exist.
        """
        if not self.texts:
            raise ValueError(
                "Texts are in the column `text` of a .csv of videos. Received: none"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        return TextEmbeddings.create(encoder, self.texts, self._text, progress)

    def write_index(self) -> dict[str, Any]:
        """Writes `index.json` for all files of latents, of other videos too.

        Returns:
            The dict in the index.

        Raises:
            ValueError: if there are no files, one cannot be read, they are of
                different codecs, or one is of another video than this set's.
        """
        for video in self.videos:
            if self.path(video).exists():
                self._check_video(video)
        return self._write(PartialIndex.read(self.directory, self._files()))

    def finish(self) -> dict[str, Any] | None:
        """Writes the index of the videos once: when no other shard is still at work.

        Files of other videos are left out, and one line is logged of them. Every shard
        leaves its part of the index in a hidden file, so that the last one reads no
        latents of the others. Shards can end at the same time.

        Returns:
            The dict in the index, or None if another shard is to write it.

        Raises:
            ValueError: as for `write_index`.
        """
        index, count = self.shard
        own = self.part
        if own is None:
            files = [path for path in map(self.path, self.videos) if path.exists()]
            own = PartialIndex.read(self.directory, files)
        if count == 1:
            self._tell_of_others(own)
            return self._write(own)
        own.save(self._part_path(index), self._part_key(index))
        parts = []
        for i in range(count):
            part = PartialIndex.load(self._part_path(i), self._part_key(i))
            # One of files that are gone is of an earlier run.
            if part is None or not part.fits(own, self.directory):
                return None
            parts.append(part)
        # Whoever sees all parts writes the same.
        whole = PartialIndex.merged(parts)
        self._tell_of_others(whole)
        return self._write(whole)

    def _files(self):
        """Returns the files of latents that are in the directory."""
        paths = self.directory.rglob("*.h5")
        # Hidden files are not complete.
        return [p for p in paths if not p.name.startswith(".") and p != self._text]

    def _tell_of_others(self, part):
        listed = {self.directory / file["latents"] for file in part.files}
        if others := sorted(set(self._files()) - listed):
            logger.warning(
                "The index leaves out %d files of other videos, such as %s",
                len(others),
                others[0],
            )

    def _part_path(self, index):
        return self.directory / f".index-{index}-of-{self.shard[1]}.json"

    def _part_key(self, index):
        videos = json.dumps(self._every[index :: self.shard[1]])
        return hashlib.sha256(videos.encode()).hexdigest()

    def _write(self, part):
        if not part.files:
            reasons = "; ".join(self.skipped.values()) or "nothing was encoded"
            raise ValueError(
                f"There are no latents: {reasons}. Received: {self.directory}"
            )
        conditions = {
            self.path(video).relative_to(self.directory).as_posix(): values
            for video, values in self._conditions.items()
        }
        return write_index(self.directory, part, conditions)


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


def _check_one_label(conditions):
    for video, values in conditions.items():
        if len(values.get("label", [])) > 1:
            raise ValueError(
                "A video must have one label. "
                f"Received: label={values['label']} for {video}"
            )
