"""Which videos a folder, a pattern or a list holds."""

import csv
import glob
import math
import os
import pathlib

from keras_regen.video.image_directory import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (
    *(".264", ".3gp", ".avi", ".flv", ".gif", ".h264", ".m2ts", ".m4v", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".npy", ".ogv", ".ts", ".vob", ".webm"),
    *(".wmv", ".yuv"),
)


def find_videos(source):
    """The videos of a source, sorted by path, each once.

    Args:
        source: path of a video, of a folder or of a `.csv`; a pattern such as
            `"films/**/*.mp4"`; or a list of these.

    Returns:
        Dict from path, str, to weight, float.

    Raises:
        ValueError: if there are none, or a CSV is not as it should be.
    """
    sources = [source] if isinstance(source, (str, os.PathLike)) else source
    found = {}
    for item in sources:
        for path, weight in _expand(os.fspath(item)):
            found.setdefault(path, weight)
    if not found:
        raise ValueError(
            "There must be a video: a file that ends in "
            f"{', '.join(VIDEO_SUFFIXES)}, or a folder of numbered images. "
            f"Received: source={source}"
        )
    return dict(sorted(found.items()))


def _expand(source):
    path = pathlib.Path(source)
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    if path.is_dir():
        return [(video, 1.0) for video in _walk(path)]
    if path.exists() or not glob.has_magic(source):
        return [(str(path), 1.0)]
    matches = [pathlib.Path(match) for match in glob.glob(source, recursive=True)]
    videos = []
    for match in matches:
        if not match.is_dir():
            videos.append(str(match))
        # Of `films/**` the folders themselves are matches: what lies in them is too.
        elif not any(match in other.parents for other in matches):
            videos += _walk(match)
    return [(video, 1.0) for video in videos]


def _walk(folder):
    """The videos under a folder; links are followed, hidden names are not."""
    seen = set()
    for directory, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        suffixes = {
            name: os.path.splitext(name)[1].lower()
            for name in files
            if not name.startswith(".")
        }
        videos = [name for name, suffix in suffixes.items() if suffix in VIDEO_SUFFIXES]
        for name in videos:
            yield os.path.join(directory, name)
        # Images beside videos are their previews.
        if not videos and any(s in IMAGE_SUFFIXES for s in suffixes.values()):
            yield directory


def _read_csv(path):
    try:
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
                    _weight(row.get("weight"), f"{path}, line {reader.line_num}"),
                )
                for row in reader
                if row["path"]
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"Cannot read the list of videos: {reason}. Received: source={path}"
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


ASSETS = pathlib.Path(__file__).parents[1] / "assets"


def bundled_clip():
    """Path of the clip that comes with the package: a scene of Big Buck Bunny.

    60 frames of 128x228 pixels at 25 frames/s.
    """
    return ASSETS / "bunny.mp4"
