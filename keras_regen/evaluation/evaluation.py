"""Scoring embedders on the videos of a data set."""

import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

import keras_regen
from keras_regen.atomic_output import AtomicOutput
from keras_regen.evaluation.datasets import Item
from keras_regen.evaluation.embedders import Embedder
from keras_regen.evaluation.protocols import Protocol
from keras_regen.evaluation.summary import summarize, summarize_video
from keras_regen.types import StrPath
from keras_regen.video import find_images

if TYPE_CHECKING:
    from keras_regen.metrics import Features

# The longest side of the frames on a contact sheet.
THUMBNAIL = 192
ARRAYS = ("frames", "features", "reference_features")


class ScoreStore:
    """Scores on disk: a file for each video and embedder, named by a digest of its key.

    Args:
        directory: path. Created with the first file.
    """

    def __init__(self, directory: StrPath) -> None:
        self.directory = pathlib.Path(directory)

    def __contains__(self, key: dict[str, Any]) -> bool:
        return self._path(key).is_file()

    def write(
        self,
        key: dict[str, Any],
        clips: list[dict[str, Any]],
        reason: str | None,
        frames: np.ndarray,
        features: np.ndarray,
        reference_features: np.ndarray,
    ) -> None:
        """Writes the scores of a video's clips, whole or not at all.

        Args:
            key: dict for JSON. Everything that the scores depend on.
            clips: list of dict for JSON.
            reason: str or None. Why there are no clips.
            frames: uint8 array of shape `(N, 2, h, w, 3)`.
            features: float32 array of shape `(N, D)`.
            reference_features: as `features`.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self._path(key)
        with AtomicOutput(path, "scores") as output:
            np.savez_compressed(
                output.temporary,
                json=json.dumps({"clips": clips, "reason": reason, "key": key}),
                frames=frames,
                features=features,
                reference_features=reference_features,
            )

    def read(self, key: dict[str, Any]) -> dict[str, Any]:
        """Returns what `write` stored, as a dict.

        Raises:
            ValueError: if the file is damaged.
        """
        path = self._path(key)
        try:
            with np.load(path) as stored:
                arrays = {name: stored[name] for name in ARRAYS}
                return {**json.loads(str(stored["json"])), **arrays}
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"The scores cannot be read; delete the file. Received: path={path}, "
                f"and {error}"
            ) from error

    def _path(self, key):
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
        return self.directory / f"{digest.hexdigest()[:24]}.npz"


class Evaluation:
    """Scores every embedder on every clip of every video, by one protocol.

    Finished scores are kept in `<stem of output>.parts/`, a file for each video and
    embedder. A run that was interrupted, or has more embedders or videos than before,
    continues from them. A preset that was trained further is scored again under the
    same name. A clip that is too short for the features, and a video that is too small
    for the perceptual distance, are left out.

    Args:
        embedders: list of `Embedder`s with different names.
        items: list of `Item`s, from `open_dataset`.
        protocol: a `Protocol`.
        output: path of the report to write, `.json`.
        features: `metrics.Features` or None. The network of the Frechet video distance.
            Defaults to `None`, no distance.
        perceptual: function or None. A distance between the frames of two videos, such
            as `metrics.st_lpips`. Defaults to `None`, no distance.
        max_clips: int or None. The maximum number of clips from the start of a video.
            Defaults to `None`, all clips.

    Raises:
        ValueError: if there are no embedders or videos, two embedders have the same
            name, the protocol's clips are too short for the features, or the perceptual
            distance has no `__name__`.

    Example:

    ```python
    evaluation = Evaluation(
        [VideoCodecEmbedder(codec)],
        open_dataset("MCL-JCV"),
        get_protocol("vidtok"),
        "out.json",
        I3DFeatures(),
    )
    for embedder, video in evaluation.run():
        print(embedder, video)
    report = evaluation.report()
    ```
    """

    def __init__(
        self,
        embedders: Sequence[Embedder],
        items: Sequence[Item],
        protocol: Protocol,
        output: StrPath,
        features: "Features | None" = None,
        perceptual: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        max_clips: int | None = None,
    ) -> None:
        self.embedders = list(embedders)
        self.items = list(items)
        names = [embedder.name for embedder in self.embedders]
        if not self.items or not names or len(set(names)) < len(names):
            raise ValueError(
                "There must be videos, and embedders of different names. "
                f"Received: {len(self.items)} videos, embedders {names}"
            )
        if features is not None and protocol.num_frames < features.min_frames:
            raise ValueError(
                f"{features.name} needs at least {features.min_frames} frames. "
                f"Received: num_frames={protocol.num_frames}"
            )
        # Stored scores are recognised by the name.
        if perceptual is not None and not hasattr(perceptual, "__name__"):
            raise ValueError(
                "`perceptual` must be a function with a `__name__`. "
                f"Received: perceptual={perceptual!r}"
            )
        self.protocol = protocol
        self.output = pathlib.Path(output)
        self.features = features
        self.perceptual = perceptual
        self.max_clips = max_clips
        self._store = ScoreStore(self.output.with_suffix(".parts"))
        # Features of the original clips of the current video, shared by all embedders.
        self._references: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """The number of pairs of an embedder and a video."""
        return len(self.embedders) * len(self.items)

    def run(self) -> Iterator[tuple[str, str]]:
        """Scores all pairs that have no scores yet.

        Yields:
            Pairs of str `(embedder, video)`, as soon as their scores are on disk.
        """
        self.output.parent.mkdir(parents=True, exist_ok=True)
        for item in self.items:
            self._references = {}
            for embedder in self.embedders:
                key = self._key(item, embedder)
                if key not in self._store:
                    self._store.write(key, **self._scores(item, embedder))
                yield embedder.name, item.name

    def report(self) -> dict[str, Any]:
        """Scores all pairs that `run` has not scored, and writes the report.

        Returns:
            Dict, as in the JSON file: `protocol` and `data`; `embedders`, a row for
            each embedder; `videos`, a row for each video and embedder, with its
            `clips`; and `skipped`, the videos without clips and the reasons.
        """
        for _ in self.run():
            pass
        rows, videos, skipped = [], [], {}
        for embedder in self.embedders:
            parts = []
            for item in self.items:
                part = self._store.read(self._key(item, embedder))
                if part["clips"]:
                    parts.append(part)
                    videos.append(summarize_video(embedder.name, item.name, part))
                else:
                    skipped[item.name] = part["reason"]
            rows.append(self._row(embedder, parts))
        report = {
            "keras_regen": keras_regen.__version__,
            "protocol": self.protocol.to_dict(),
            "data": {
                "videos": [item.name for item in self.items],
                "max_clips": self.max_clips,
            },
            "embedders": rows,
            "videos": videos,
            "skipped": [{"video": k, "reason": v} for k, v in skipped.items()],
        }
        text = json.dumps(report, indent=1)
        with AtomicOutput(self.output, "report") as output:
            output.temporary.write_text(text + "\n")
        return json.loads(text)

    def frames(
        self, embedder: Embedder
    ) -> list[tuple[str, int, dict[str, Any], np.ndarray, np.ndarray]]:
        """Returns thumbnails of the middle frame of every clip.

        Args:
            embedder: `Embedder`.

        Returns:
            List of `(video, number of the clip, scores, frame, decoded frame)`. Scores
            are a dict, frames are uint8.
        """
        found = []
        for item in self.items:
            part = self._store.read(self._key(item, embedder))
            for number, clip in enumerate(part["clips"]):
                pair = part["frames"][number]
                found.append((item.name, number, clip, *pair))
        return found

    def _row(self, embedder, parts):
        features = None if self.features is None else self.features.name
        return {"embedder": embedder.name, **summarize(parts, features)}

    # === One video ===

    def _scores(self, item, embedder):
        """Scores all clips. Returns the arguments of `ScoreStore.write`."""
        clips: list[dict[str, Any]] = []
        features, reference_features, frames = [], [], []
        reader = iter(self.protocol.clips(item.path, item.fps, self.max_clips))
        reason = "it is too short for a clip of the protocol"
        while True:
            try:
                clip = next(reader, None)
            except ValueError as error:
                # The clips before the damage would not represent the whole video.
                clips, reason = [], str(error)
                break
            if clip is None:
                break
            if self.features is not None and len(clip) < self.features.min_frames:
                reason = f"it is too short for {self.features.name}"
                continue
            start = time.perf_counter()
            coded = embedder.reconstruct(clip)
            seconds = time.perf_counter() - start
            scores = self._clip_scores(clip, coded, seconds)
            if self.perceptual is not None:
                try:
                    distances = self.perceptual(clip, coded.video)
                except ValueError as error:
                    # All clips of a video are of the same size.
                    clips, reason = [], str(error)
                    break
                scores["st_lpips"] = float(np.mean(distances))
            clips.append(scores)
            frames.append([_thumbnail(x[len(x) // 2]) for x in (clip, coded.video)])
            if self.features is not None:
                if len(clips) not in self._references:
                    self._references[len(clips)] = self._embed(self.features, clip)
                reference_features.append(self._references[len(clips)])
                features.append(self._embed(self.features, coded.video))
        return {
            "clips": clips,
            "reason": None if clips else reason,
            "frames": np.array(frames, "uint8"),
            "features": np.array(features, "float32"),
            "reference_features": np.array(reference_features, "float32"),
        }

    def _clip_scores(self, clip, coded, seconds):
        scores = self.protocol.scores(clip, coded.video)
        frames, height, width, _ = clip.shape
        return {
            **scores,
            "num_frames": frames,
            "height": height,
            "width": width,
            "num_values": coded.num_values,
            "num_bits": coded.num_bits,
            "seconds": seconds,
        }

    def _embed(self, features, clip):
        if self.protocol.fvd_resize == "crop":
            side = min(clip.shape[1:3])
            top, left = ((size - side) // 2 for size in clip.shape[1:3])
            clip = clip[:, top : top + side, left : left + side]
        return features(clip[None])[0]

    def _key(self, item, embedder):
        """Returns everything that the scores depend on, a dict for JSON."""
        path = pathlib.Path(item.path)
        # The time of a folder stays as it is when an image in it is overwritten.
        files = find_images(path) if path.is_dir() else [path]
        features = self.features
        states = [[f.name, f.stat().st_mtime, f.stat().st_size] for f in files]
        return {
            "video": [item.name, item.fps, str(path.resolve()), states],
            "embedder": [embedder.name, getattr(embedder, "identity", None)],
            "protocol": {**self.protocol.to_dict(), "changed": None},
            "max_clips": self.max_clips,
            "features": features and [features.name, features.identity],
            "perceptual": getattr(self.perceptual, "__name__", None),
        }


def _thumbnail(frame):
    image = PIL.Image.fromarray(frame)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(image)
