"""The index of a directory of latents: what its files hold."""

import dataclasses
import json
import pathlib
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from keras_regen.atomic_output import AtomicOutput
from keras_regen.checks import (
    FPS_RANGE,
    check_real,
    check_whole,
    parse_json,
    read_small,
)
from keras_regen.latents.chunk_layout import ChunkLayout
from keras_regen.latents.latent_statistics import LatentStatistics
from keras_regen.latents.latents import Latents

INDEX = "index.json"
TEXT = "text.h5"
# A million files take about 150 MB.
_MAX_BYTES = 2**28
_CODEC = ("temporal_compression", "chunking", "encoder_id", "preset")


@dataclasses.dataclass
class PartialIndex:
    """The index entries of some of a directory's files.

    Attributes:
        files: list of dict, one a file.
        statistics: `LatentStatistics` of all their latents.
        codec: dict of what made them, the same for all; empty if there are no files.
    """

    files: list[dict[str, Any]]
    statistics: LatentStatistics
    codec: dict[str, Any]

    @classmethod
    def read(cls, directory: pathlib.Path, paths: Iterable[pathlib.Path]) -> Self:
        """Reads all latents of some files. Statistics leave out padded chunks.

        Raises:
            ValueError: if one cannot be read, or other latents are of another codec.
        """
        part = cls([], LatentStatistics(), {})
        for path in sorted(paths):
            latents = Latents.load(path, lazy=True)
            layout = ChunkLayout(latents.temporal_compression, latents.chunking)
            # What `LatentClips` yields.
            for i in range(layout.count_full(latents.num_chunks, latents.num_frames)):
                part.statistics.update(np.asarray(latents.chunks(i, i + 1))[None])
            part._set_codec(_codec_of(latents), path)
            part.files.append(
                {
                    "latents": path.relative_to(directory).as_posix(),
                    "num_chunks": latents.num_chunks,
                    "num_frames": latents.num_frames,
                    "height": latents.height,
                    "width": latents.width,
                    "fps": latents.fps,
                }
            )
        return part

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Returns the whole of some parts."""
        whole = cls([], LatentStatistics(), {})
        for part in parts:
            whole.files += part.files
            whole.statistics.add(part.statistics.sums)
            if part.codec:
                whole._set_codec(part.codec, part.files[0]["latents"])
        whole.files.sort(key=lambda file: pathlib.PurePath(file["latents"]))
        return whole

    def fits(self, other: Self, directory: pathlib.Path) -> bool:
        """Whether all files are still there, and of the codec of another part's."""
        codecs = [tuple(map(part.codec.get, _CODEC[:3])) for part in (self, other)]
        is_same = codecs[0] == codecs[1] or not (self.files and other.files)
        return is_same and all((directory / f["latents"]).exists() for f in self.files)

    def _set_codec(self, codec, path):
        self.codec = self.codec or codec
        for name in _CODEC[:3]:
            if codec[name] != self.codec[name]:
                raise ValueError(
                    "All latents of a directory must be of one codec: "
                    f"{name}={self.codec[name]}. "
                    f"Received: {name}={codec[name]} in {path}"
                )

    @property
    def values(self) -> dict[str, Any]:
        """What `from_values` takes, in a form that can be written as JSON."""
        sums = self.statistics.sums
        return {"files": self.files, "sums": sums, "codec": self.codec}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Returns the part that has these `values`."""
        statistics = LatentStatistics()
        statistics.add(values["sums"])
        return cls(values["files"], statistics, values["codec"])

    def save(self, path: pathlib.Path, key: str) -> None:
        """Writes a file that `load` reads, if it is given the same key."""
        with AtomicOutput(path, "part of the index") as output:
            output.temporary.write_text(json.dumps({"key": key, **self.values}))

    @classmethod
    def load(cls, path: pathlib.Path, key: str) -> Self | None:
        """Reads a file that `save` wrote; None if there is none with this key."""
        try:
            values = parse_json(path.read_bytes())
            return cls.from_values(values) if values["key"] == key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


# === The index ===


@dataclasses.dataclass(frozen=True)
class DatasetIndex:
    """What is in the index of a directory.

    Attributes:
        files: list of dict, one a file of latents. With `texts`, a list of str, or
            `label`, a place in `labels`, if the file has them.
        mean: float32 array of shape `(2, C)`: of every channel.
        std: float32 array of shape `(2, C)`.
        labels: list of str, the names of labels.
        codec: dict of `temporal_compression`, `chunking`, `encoder_id` and `preset`.
    """

    files: list[dict[str, Any]]
    mean: np.ndarray
    std: np.ndarray
    labels: list[str]
    codec: dict[str, Any]


def write_index(
    directory: pathlib.Path,
    part: PartialIndex,
    conditions: Mapping[str, Mapping[str, list[str]]],
) -> dict[str, Any]:
    """Writes the index of a directory.

    Args:
        directory: `pathlib.Path`.
        part: `PartialIndex` of all files.
        conditions: dict from the name of a file in the directory to its texts and
            label, as `find_conditions` returns them. What they do not tell of a file
            stays as in an earlier index.

    Returns:
        The dict in the index.
    """
    earlier = _earlier_conditions(directory)
    of_files = [
        {**earlier.get(file["latents"], {}), **conditions.get(file["latents"], {})}
        for file in part.files
    ]
    names, places = _labels([row["label"][0] for row in of_files if row.get("label")])
    files = []
    for file, row in zip(part.files, of_files, strict=True):
        file = dict(file)
        if row.get("text"):
            file["texts"] = row["text"]
        if row.get("label"):
            file["label"] = places[row["label"][0]]
        files.append(file)
    index = {**part.codec, "latent_statistics": part.statistics.result()}
    if names:
        index["labels"] = names
    with AtomicOutput(directory / INDEX, "index") as output:
        # A file a line.
        head, lines = json.dumps(index)[:-1], ",\n".join(map(json.dumps, files))
        output.temporary.write_text(f'{head}, "files": [\n{lines}\n]}}\n')
    return {**index, "files": files}


def _earlier_conditions(directory):
    try:
        index = read_index(directory)
    except ValueError:
        return {}
    return {
        file["latents"]: {
            "text": file.get("texts", []),
            "label": [index.labels[file["label"]]] if "label" in file else [],
        }
        for file in index.files
    }


def _labels(names):
    """Returns the names of labels in their order, and a dict from a name to its place.

    Small whole numbers stay what they are.
    """
    if all(re.fullmatch("[0-9]{1,5}", name) for name in names):
        count = max(map(int, names), default=-1) + 1
        return [str(i) for i in range(count)], {name: int(name) for name in names}
    distinct = sorted(set(names))
    return distinct, {name: place for place, name in enumerate(distinct)}


def read_index(directory: pathlib.Path) -> DatasetIndex:
    """Reads the index of a directory, which need not be trusted.

    Raises:
        ValueError: if there is no index, or it is not one that `LatentDataset` writes.
    """
    path = directory / INDEX
    if not path.is_file():
        raise ValueError(
            f"A directory of latents has an {INDEX}. Received: {path.parent}"
        )
    try:
        index = parse_json(read_small(path, _MAX_BYTES))
        files, statistics = index["files"], index["latent_statistics"]
        labels = _checked_names("labels", index.get("labels", []))
        for file in files:
            _check_file(file, len(labels))
        mean, std = (np.array(statistics[name], "float32") for name in ("mean", "std"))
        if mean.ndim != 2 or len(mean) != 2 or mean.shape != std.shape:
            raise ValueError("`mean` and `std` must be of shape (2, C)")
        if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(std))):
            raise ValueError("`mean` and `std` must be finite")
        codec = _codec(index)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"It is not an index of latents: {error!r}. Received: {path}"
        ) from error
    return DatasetIndex(files, mean, std, labels, codec)


def _check_file(file, num_labels):
    """Raises ValueError unless an entry of the index is one of a file below it."""
    place = pathlib.PurePath(file["latents"])
    if place.is_absolute() or ".." in place.parts:
        raise ValueError(
            "Latents must be in the directory of their index. "
            f"Received: latents={reprlib.repr(file['latents'])}"
        )
    names = ("num_chunks", "num_frames", "height", "width")
    check_whole(1, 2**31, **{name: file[name] for name in names})
    check_real(*FPS_RANGE, fps=file["fps"])
    _checked_names("texts", file.get("texts", []))
    if "label" in file:
        check_whole(0, num_labels - 1, label=file["label"])


def _checked_names(name, values):
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError(
            f"`{name}` must be a list of str. Received: {name}={reprlib.repr(values)}"
        )
    return values


def _codec(index):
    """Returns what an index says of the codec."""
    codec = {name: index[name] for name in _CODEC}
    ChunkLayout(codec["temporal_compression"], codec["chunking"])
    for name in ("encoder_id", "preset"):
        if not isinstance(codec[name], str | None):
            raise ValueError(
                f"`{name}` must be a str. Received: {name}={reprlib.repr(codec[name])}"
            )
    return codec


def _codec_of(latents):
    return {name: getattr(latents, name) for name in _CODEC}
