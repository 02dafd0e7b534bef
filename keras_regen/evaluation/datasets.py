"""The videos of a data set on disk."""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence

from keras_regen.types import StrPath
from keras_regen.video import RAW_SUFFIX, find_images, find_videos

MCL_JCV, DAVIS, VIDEOS = "mcl_jcv", "davis", "videos"
NAMES = (MCL_JCV, DAVIS, VIDEOS)
# `videoSRC01_1920x1080_30.yuv`, `videoSRC01_1920x1080_30_qp_00.264`.
MCL_JCV_FILE = re.compile(
    r"(videoSRC\d+)_(\d+)x(\d+)_(\d+(?:\.\d+)?)(?:_qp_(\d+))?\.\w+", re.I
)
DAVIS_FPS = 24.0
# The first one that exists is used: the 2017 edition, the 2016 edition inside it, then
# the 2016 edition on its own.
DAVIS_LISTS = ("2017/val.txt", "2016/val.txt", "480p/val.txt", "1080p/val.txt")
DAVIS_SIZES = ("480p", "Full-Resolution", "1080p")


@dataclasses.dataclass(frozen=True)
class Item:
    """A video of a data set.

    Args:
        name: str, unique in its data set.
        path: str, for `keras_regen.video.VideoReader`.
        fps: float or None. Frames per second; None to read it from the file.
    """

    name: str
    path: str
    fps: float | None = None


def open_dataset(
    path: StrPath | Sequence[StrPath], name: str | None = None
) -> list[Item]:
    """Finds the videos of a data set, sorted by name, or of several.

    - `"mcl_jcv"`: MCL-JCV, or VideoSet, whose files have the same names. There is an
      item for each source number in the folder and its subfolders. If a source has
      several files, the largest frames win, then the least quantisation (none, or the
      lowest `qp`), then `.yuv` over H.264. Files with other names are ignored.
    - `"davis"`: DAVIS 2017 or 2016, either the folder with `JPEGImages` and `ImageSets`
      or its parent. The items are the sequences of the validation list, at 480p if
      available. For all sequences, open the folder `JPEGImages/480p` as `"videos"`.
    - `"videos"`: any source of `keras_regen.data.VideoClips`: a folder, a video, a
      pattern or a `.csv`.

    Args:
        path: path of the data set, for `"videos"` also a pattern; or a list of these.
            All the `"videos"` of a list are one data set, the last.
        name: str or None, one of the above. Defaults to `None`, found from the files,
            for each of a list.

    Returns:
        List of `Item`s: `.name`, `.path` and `.fps`.

    Raises:
        ValueError: if there are no videos, a listed video is missing, or two data sets
            have items of one name.
    """
    if name is not None and name not in NAMES:
        raise ValueError(
            f"`name` must be one of {', '.join(NAMES)}. Received: name={name!r}"
        )
    paths = [path] if isinstance(path, (str, os.PathLike)) else path
    names = [name or dataset_name(each) for each in paths]
    pairs = [*zip(names, paths, strict=True)]
    openers = {MCL_JCV: _open_mcl_jcv, DAVIS: _open_davis}
    items = [
        item for kind, each in pairs if kind != VIDEOS for item in openers[kind](each)
    ]
    videos = [each for kind, each in pairs if kind == VIDEOS]
    if videos or not items:
        items += _open_videos(videos)
    counts = collections.Counter(item.name for item in items)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f"Two data sets have an item {repeated[0]}: score them one by one. "
            f"Received: path={path}"
        )
    return items


def dataset_name(path: StrPath) -> str:
    """Returns the kind of data set at a path: `"mcl_jcv"`, `"davis"` or `"videos"`."""
    if not os.path.isdir(path):
        return VIDEOS
    if _davis_root(path):
        return DAVIS
    try:
        videos = find_videos(path)
    except ValueError:
        return VIDEOS
    files = [os.path.basename(video) for video in videos if os.path.isfile(video)]
    # With any other file, it is a folder of videos.
    all_sources = all(file.lower().startswith("videosrc") for file in files)
    is_mcl_jcv = all_sources and any(map(MCL_JCV_FILE.fullmatch, files))
    return MCL_JCV if is_mcl_jcv else VIDEOS


# === MCL-JCV ===


def _open_mcl_jcv(path):
    best: dict[str, tuple[tuple, Item]] = {}
    for video in find_videos(path):
        match = MCL_JCV_FILE.fullmatch(os.path.basename(video))
        if not match:
            continue
        name, width, height, fps, qp = match.groups()
        is_raw = video.lower().endswith(RAW_SUFFIX)
        rank = (-int(width) * int(height), int(qp or -1), not is_raw, video)
        item = Item(name, video, float(fps))
        best[name] = min(best.get(name, (rank, item)), (rank, item))
    if not best:
        raise ValueError(
            "MCL-JCV must have videos with names like videoSRC01_1920x1080_30.yuv. "
            f"Received: path={path}"
        )
    return [best[name][1] for name in sorted(best)]


# === DAVIS ===


def _davis_root(path):
    roots = (pathlib.Path(path), pathlib.Path(path) / "DAVIS")
    return next((root for root in roots if (root / "JPEGImages").is_dir()), None)


def _open_davis(path):
    root = _davis_root(path)
    if root is None:
        raise ValueError(f"DAVIS must have a folder JPEGImages. Received: path={path}")
    sizes = [root / "JPEGImages" / size for size in DAVIS_SIZES]
    images = next((folder for folder in sizes if folder.is_dir()), None)
    if images is None:
        raise ValueError(
            f"JPEGImages must have a folder {' or '.join(DAVIS_SIZES)}. "
            f"Received: path={path}"
        )
    names = _davis_list(root)
    for name in names:
        folder = images / name
        if not folder.is_dir() or not find_images(folder):
            raise ValueError(
                f"The sequence {name} is listed but has no images in {images}. "
                f"Received: path={path}"
            )
    return [Item(name, str(images / name), DAVIS_FPS) for name in names]


def _davis_list(root):
    """Returns the names of the validation sequences, sorted."""
    files = [root / "ImageSets" / name for name in DAVIS_LISTS]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ValueError(
            f"DAVIS must have a list ImageSets/{' or '.join(DAVIS_LISTS)}. "
            f"Received: path={root}"
        )
    # Each line is a name or, in the 2016 edition, the paths of an image and its mask.
    first = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
    names = {
        pathlib.PurePosixPath(word).parent.name if "/" in word else word
        for word in first
    }
    if not names:
        raise ValueError(f"The list of sequences is empty. Received: {file}")
    return sorted(names)


# === Any videos ===


def _open_videos(source):
    # A weight of 0 excludes a video, as in training.
    paths = [path for path, weight in find_videos(source).items() if weight]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing or not paths:
        raise ValueError(
            f"Videos are missing: {', '.join(missing[:3]) or 'all have weight 0'}. "
            f"Received: source={source}"
        )
    root = os.path.commonpath([os.path.dirname(os.path.abspath(p)) for p in paths])
    return [Item(os.path.relpath(path, root), path) for path in paths]
