"""Finding the videos in folders, patterns and lists."""

import csv
import glob
import hashlib
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from keras_regen.atomic_output import error_reason
from keras_regen.types import StrPath
from keras_regen.video.animated_webp import WEBP_SUFFIX, is_animated_webp
from keras_regen.video.image_directory import IMAGE_SUFFIXES, find_images
from keras_regen.video.source import UnreadableError, check_is_file

ASSETS = pathlib.Path(__file__).parents[1] / "assets"
VIDEO_SUFFIXES = (
    *(".264", ".265", ".3g2", ".3gp", ".apng", ".asf", ".avi", ".f4v", ".flv", ".gif"),
    *(".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".npy", ".nut", ".ogg", ".ogv", ".ts"),
    *(".vob", ".webm", ".wmv", ".y4m", ".yuv"),
)

# How many places of a video its digest reads, and the bytes at each.
_SAMPLES, _SAMPLE_BYTES = 4, 2**12


def find_videos(source: StrPath | Sequence[StrPath]) -> dict[str, float]:
    """Finds the videos of a source.

    Args:
        source: path of a video, of a folder or of a `.csv`; a pattern such as
            `"films/**/*.mp4"`; or a list of these.

    Returns:
        Dict from path, str, to weight, float, sorted by path. Two spellings of a path
        are one video, with the weight of the first.

    Raises:
        ValueError: if there are no videos, or a CSV cannot be read or has no column
            `path`, or a weight is not a number, 0 or more.
    """
    sources = [source] if isinstance(source, (str, os.PathLike)) else source
    found: dict[str, float] = {}
    for item in sources:
        for path, weight in _expand(os.fspath(item)):
            found.setdefault(_normal(path), weight)
    if not found:
        raise ValueError(
            "There must be a video: a file that ends in "
            f"{', '.join(VIDEO_SUFFIXES)}, an animated {WEBP_SUFFIX}, or a folder of "
            "numbered images. "
            f"Received: source={source}"
        )
    return dict(sorted(found.items()))


def find_conditions(
    source: StrPath | Sequence[StrPath],
) -> dict[str, dict[str, list[str]]]:
    """Finds the texts and labels of videos: the columns `text` and `label` of CSVs.

    Args:
        source: as for `find_videos`. A video may have several rows, of a text each.

    Returns:
        Dict from path, str, to a dict from the columns of its CSV to the values that
        are not empty, each once: an empty list if there are none.

    Raises:
        ValueError: if a CSV cannot be read.
    """
    sources = [source] if isinstance(source, (str, os.PathLike)) else source
    found: dict[str, dict[str, list[str]]] = {}
    for path in map(pathlib.Path, sources):
        if path.suffix.lower() != ".csv":
            continue
        for video, row, _ in _rows(path):
            for name in ("text", "label"):
                if name not in row:
                    continue
                value = " ".join((row[name] or "").split())
                values = found.setdefault(_normal(video), {}).setdefault(name, [])
                if value and value not in values:
                    values.append(value)
    return found


def video_digest(path: StrPath) -> str | None:
    """Returns 16 hexadecimal digits that tell a video from others of the same name.

    They depend on its size and on its bytes at some places, so that long videos take
    no longer than short ones; where the video lies does not matter.

    Args:
        path: path of a video.

    Returns:
        str, or None if there is no such file or folder of images.
    """
    path = pathlib.Path(path)
    if path.is_file():
        size = path.stat().st_size
        last = max(0, size - _SAMPLE_BYTES)
        places = [(path, int(at)) for at in np.linspace(0, last, _SAMPLES)]
    elif path.is_dir() and (images := find_images(path)):
        size = len(images)
        numbers = np.linspace(0, size - 1, _SAMPLES).astype(int)
        places = [(images[i], 0) for i in numbers]
    else:
        return None
    digest = hashlib.sha256(str(size).encode())
    for file, at in places:
        with file.open("rb") as opened:
            opened.seek(at)
            digest.update(opened.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def bundled_clip(name: str = "bunny") -> pathlib.Path:
    """Returns the path of a clip in the package.

    Both clips have 36 frames of 240x424 pixels, at 24 frames/s. The bundled presets
    were not trained on them. `ATTRIBUTION.md`, next to them, has their licences.

    Args:
        name: `"bunny"`, from the animated film Big Buck Bunny, or `"steel"`, from Tears
            of Steel, a film with actors. Defaults to `"bunny"`.

    Returns:
        pathlib.Path.

    Raises:
        ValueError: if there is no such clip.
    """
    clips = {path.stem: path for path in sorted(ASSETS.glob("*.mp4"))}
    if name not in clips:
        raise ValueError(
            f"The bundled clips are {', '.join(clips)}. Received: name={name!r}"
        )
    return clips[name]


def _expand(source):
    path = pathlib.Path(source)
    if path.suffix.lower() == ".csv":
        return [
            (video, _weight(row.get("weight"), at)) for video, row, at in _rows(path)
        ]
    if path.is_dir():
        return [(video, 1.0) for video in _walk(path)]
    if path.exists() or not glob.has_magic(source):
        return [(str(path), 1.0)]
    matches = [pathlib.Path(match) for match in glob.glob(source, recursive=True)]
    videos = []
    for match in matches:
        if not match.is_dir():
            videos.append(str(match))
        # `films/**` matches folders as well as the files in them.
        elif not any(match in other.parents for other in matches):
            videos += _walk(match)
    return [(video, 1.0) for video in videos]


def _normal(path):
    """Returns a path without `.` and `..`; as it is if its `..` follow a link."""
    normal = os.path.normpath(path)
    is_same = ".." not in path or os.path.realpath(path) == os.path.realpath(normal)
    return normal if is_same else path


def _walk(folder):
    """Yields the videos under a folder; follows links and skips hidden names."""
    seen = set()
    for directory, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        suffixes = {
            os.path.join(directory, name): os.path.splitext(name)[1].lower()
            for name in files
            if not name.startswith(".")
        }
        videos = [path for path, suffix in suffixes.items() if _is_video(path, suffix)]
        yield from videos
        # Images next to videos are their previews.
        if not videos and any(s in IMAGE_SUFFIXES for s in suffixes.values()):
            yield directory


def _is_video(path, suffix):
    if suffix != WEBP_SUFFIX:
        return suffix in VIDEO_SUFFIXES
    try:
        check_is_file(path)
        return is_animated_webp(pathlib.Path(path))
    except (UnreadableError, OSError):
        return False


def _rows(path):
    """Returns the path, the columns and the place of every video in a CSV."""
    try:
        check_is_file(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "path" not in (reader.fieldnames or ()):
                raise ValueError(
                    f"A CSV of videos must have a column `path`. Received: {path} with "
                    f"columns={reader.fieldnames}"
                )
            return [
                (
                    str(path.parent / row["path"]),
                    row,
                    f"{path}, line {reader.line_num}",
                )
                for row in reader
                if row["path"]
            ]
    except (UnreadableError, OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"Cannot read the list of videos: {error_reason(error)}. "
            f"Received: source={path}"
        ) from error


def _weight(text, where):
    if text is None or not text.strip():
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise ValueError(
            f"A weight must be a number, 0 or more. Received: weight={text} in {where}"
        )
    return weight
