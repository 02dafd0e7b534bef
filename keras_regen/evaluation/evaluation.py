"""Scoring embedders on the videos of a data set."""

import json
import pathlib
import time

import numpy as np
import PIL.Image

import keras_regen
from keras_regen.atomic_output import AtomicOutput
from keras_regen.evaluation.score_store import ScoreStore
from keras_regen.evaluation.summary import summarize, summarize_video

# The longest side of the frames that a contact sheet shows.
THUMBNAIL = 192


class Evaluation:
    """Every embedder on every clip of every video, by one protocol.

    What is done is kept in `<stem of output>.parts/`, a file for each video and
    embedder, so a run that was interrupted, or is given more embedders or videos, goes
    on from there. Embedders of one name are told apart by what they are: a preset that
    was trained on is scored anew.

    Args:
        embedders: list of `Embedder`s, of different names.
        items: list of `Item`s, from `open_dataset`.
        protocol: a `Protocol`.
        output: path of the report to write, `.json`.
        features: `metrics.Features` or None. The network of the Frechet video distance.
            Defaults to `None`, without it.
        perceptual: callable or None. Distance of the frames of two videos, such as
            `metrics.st_lpips`. Defaults to `None`, without it.
        max_clips: int or None. At most so many clips of a video, from its start.

    Raises:
        ValueError: if there are no embedders or videos, or two of one name.

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
        embedders,
        items,
        protocol,
        output,
        features=None,
        perceptual=None,
        max_clips=None,
    ):
        self.embedders = list(embedders)
        self.items = list(items)
        names = [embedder.name for embedder in self.embedders]
        if not self.items or not names or len(set(names)) < len(names):
            raise ValueError(
                "There must be videos, and embedders of different names. "
                f"Received: {len(self.items)} videos, embedders {names}"
            )
        self.protocol = protocol
        self.output = pathlib.Path(output)
        self.features = features
        self.perceptual = perceptual
        self.max_clips = max_clips
        self._store = ScoreStore(self.output.with_suffix(".parts"))
        # Features of the clips of one video, which all embedders are compared with.
        self._references = {}

    def __len__(self):
        """How many pairs of an embedder and a video there are."""
        return len(self.embedders) * len(self.items)

    def run(self):
        """Scores what is not scored yet.

        Yields:
            Pairs of str `(embedder, video)`, each when it is done; at once, if it was.
        """
        self.output.parent.mkdir(parents=True, exist_ok=True)
        for item in self.items:
            self._references = {}
            for embedder in self.embedders:
                key = self._key(item, embedder)
                if key not in self._store:
                    self._store.write(key, **self._scores(item, embedder))
                yield embedder.name, item.name

    def report(self):
        """Writes the report; scores first what `run` has not.

        Returns:
            Dict, as in the JSON file: `protocol` and `data`; `embedders`, a row each;
            `videos`, a row for each video and embedder, with its `clips`; and
            `skipped`, the videos that have none and why.
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

    def frames(self, embedder):
        """Thumbnails to look at: of every clip of an embedder, its middle frame.

        Returns:
            List of `(video, number of the clip, scores, frame, decoded frame)`, the
            scores a dict, the frames uint8.
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
        """The scores of all clips, their features and frames, or why there are none."""
        clips, features, reference_features, frames = [], [], [], []
        reader = iter(self.protocol.clips(item.path, item.fps, self.max_clips))
        reason = "it is too short for a clip of the protocol"
        while True:
            try:
                clip = next(reader, None)
            except ValueError as error:
                # What comes before damage would stand for a video that is not whole.
                clips, reason = [], str(error)
                break
            if clip is None:
                break
            start = time.perf_counter()
            coded = embedder.reconstruct(clip)
            seconds = time.perf_counter() - start
            clips.append(self._clip_scores(clip, coded, seconds))
            frames.append([_thumbnail(x[len(x) // 2]) for x in (clip, coded.video)])
            if self.features is not None:
                if len(clips) not in self._references:
                    self._references[len(clips)] = self._embed(clip)
                reference_features.append(self._references[len(clips)])
                features.append(self._embed(coded.video))
        return {
            "clips": clips,
            "reason": None if clips else reason,
            "frames": np.array(frames, "uint8"),
            "features": np.array(features, "float32"),
            "reference_features": np.array(reference_features, "float32"),
        }

    def _clip_scores(self, clip, coded, seconds):
        scores = self.protocol.scores(clip, coded.video)
        if self.perceptual is not None:
            scores["st_lpips"] = float(np.mean(self.perceptual(clip, coded.video)))
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

    def _embed(self, clip):
        if self.protocol.fvd_resize == "crop":
            side = min(clip.shape[1:3])
            top, left = ((size - side) // 2 for size in clip.shape[1:3])
            clip = clip[:, top : top + side, left : left + side]
        return self.features(clip[None])[0]

    def _key(self, item, embedder):
        """All that the scores depend on."""
        path = pathlib.Path(item.path)
        return {
            "video": [item.name, item.fps, str(path.resolve()), path.stat().st_mtime],
            "embedder": [embedder.name, getattr(embedder, "identity", None)],
            "protocol": {**self.protocol.to_dict(), "changed": None},
            "max_clips": self.max_clips,
            "features": None if self.features is None else self.features.name,
            "perceptual": getattr(self.perceptual, "__name__", None),
        }


def _thumbnail(frame):
    image = PIL.Image.fromarray(frame)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(image)
