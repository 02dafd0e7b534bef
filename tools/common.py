"""What several tools need: processes, Markdown tables, and validation clips.

Nothing here imports keras_regen or Keras before it is used. A tool can therefore choose
the backend first, and `measure_export` can run a model without this package.
"""

import concurrent.futures
import dataclasses
import importlib.util
import json
import multiprocessing
import os
import pathlib
import sys
from unittest import mock

import numpy as np

PRESET = "regen_small_8x8x8"
BACKENDS = ("torch", "tensorflow", "jax")
# Height and width of the validation clips.
SIZE = 128


def in_process(function, *arguments, **environment):
    """Calls a function of a tool in a new process.

    Args:
        function: a function at the top level of a module.
        *arguments: its arguments, which must be picklable.
        **environment: environment variables to add, such as `KERAS_BACKEND`.

    Returns:
        What the function returns.
    """
    context = multiprocessing.get_context("spawn")
    with (
        mock.patch.dict(os.environ, environment),
        concurrent.futures.ProcessPoolExecutor(1, context) as process,
    ):
        return process.submit(function, *arguments).result()


# === Tables and files ===


def markdown_table(headings, rows):
    """Returns a Markdown table. Columns of numbers are aligned to the right.

    Args:
        headings: list of str.
        rows: list of lists of cells. Floats are rounded to four digits.
    """
    rows = [[_text(cell) for cell in row] for row in rows]
    columns = zip(*rows, strict=True) if rows else [[] for _ in headings]
    rule = ["--:" if _is_numeric(column) else "---" for column in columns]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows))


def print_table(headings, rows):
    print("\n" + markdown_table(headings, rows), flush=True)


def log(*items):
    """Prints progress to the standard error, so that tables can be redirected."""
    print(*items, file=sys.stderr, flush=True)


def save_json(path, results):
    from keras_regen.atomic_output import AtomicOutput

    with AtomicOutput(pathlib.Path(path), "results") as output:
        output.temporary.write_text(json.dumps(results, indent=1) + "\n")


def check_continues(path, settings, changeable=()):
    """Keeps the settings of some work in a file, which another command must repeat.

    Args:
        path: path of the JSON file.
        settings: dict that JSON can hold.
        changeable: names of settings that may change when the work is continued.

    Raises:
        ValueError: if the work began with other settings.
    """
    settings = json.loads(json.dumps(settings))
    if path.exists():
        before = json.loads(path.read_text())
        changed = [
            f"{name}={value}, not {before.get(name)}"
            for name, value in settings.items()
            if name not in changeable and value != before.get(name)
        ]
        if changed:
            raise ValueError(
                "The work was begun with other settings: repeat those, or choose "
                f"another directory. Received: {'; '.join(changed)}"
            )
    save_json(path, settings)


def _text(cell):
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _is_numeric(column):
    return any(column) and all(text[:1] in "-0123456789." for text in column)


# === Options of the tools that measure time ===


def add_timing_options(parser, repeats):
    """Adds `--backend`, `--any-load`, `--repeats` and `--output`."""
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=installed)
    parser.add_argument(
        "--any-load", action="store_true", help="keep samples taken on a busy machine"
    )
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument(
        "--output", type=pathlib.Path, help="directory for the numbers and plots"
    )


# === Validation clips ===


def videos_in(folder):
    """Returns the paths of the folder's .mp4 videos, sorted."""
    paths = sorted(pathlib.Path(folder).glob("*.mp4"))
    if not paths:
        raise ValueError(f"There are no .mp4 videos in the folder. Received: {folder}")
    return paths


def read_video(path):
    """Returns all frames of a video, uint8 `(T, H, W, 3)`."""
    from keras_regen.video import VideoReader

    with VideoReader(path) as reader:
        return np.stack(list(reader))


def validation_clips(folder):
    """Reads every video of a folder, resized and cropped to 128x128 pixels.

    Returns:
        Dict from the clip's name to uint8 `(T, 128, 128, 3)`.
    """
    chunks = validation_chunks(folder, num_frames=1)
    return {name: chunk[:, 0] for name, chunk in chunks.items()}


def validation_chunks(folder, num_frames, max_chunks=None, short_side=SIZE):
    """Reads consecutive chunks of every video of a folder, at 128x128 pixels.

    Args:
        folder: path of the validation clips.
        num_frames: int. Frames of a chunk, k + 1.
        max_chunks: int or None. Keeps at most this many chunks of a video, evenly
            spread. Defaults to `None`.
        short_side: int. Frames are resized to it before their centre is cropped.
            Defaults to 128.

    Returns:
        Dict from the clip's name to uint8 `(N, num_frames, 128, 128, 3)`.
    """
    from keras_regen.evaluation import get_protocol

    protocol = get_protocol("regen").override(size=SIZE, num_frames=num_frames)
    protocol = dataclasses.replace(protocol, short_side=short_side)
    clips = {}
    for path in videos_in(folder):
        chunks = np.stack(list(protocol.clips(path)))
        if max_chunks and len(chunks) > max_chunks:
            places = np.linspace(0, len(chunks) - 1, max_chunks)
            chunks = chunks[places.round().astype(int)]
        clips[path.stem] = chunks
    return clips


def reconstruct(model, chunks, num_steps=1, batch_size=16):
    """Encodes and decodes chunks `(N, T, H, W, 3)` in batches, with seed 0."""
    from keras_regen.batches import Batches

    return Batches(lambda batch: model.reconstruct(batch, num_steps, 0), batch_size)(
        chunks
    )


def score(reference, video):
    """Scores clips by the protocol `regen`.

    Args:
        reference: uint8 array of shape `(..., T, H, W, 3)`.
        video: array of the same shape.

    Returns:
        Dict of the mean PSNR, in dB, and SSIM of the clips.
    """
    from keras_regen.evaluation import get_protocol

    clips = [x.reshape(-1, *x.shape[-4:]) for x in (reference, video)]
    scores = [*map(get_protocol("regen").scores, *clips)]
    return {
        name: float(np.mean([s[name] for s in scores])) for name in ("psnr", "ssim")
    }


def distance(features, others):
    """Returns the Frechet distance of two sets of features, `(N, D)` each."""
    from keras_regen.metrics import FeatureStatistics

    statistics = [FeatureStatistics(features.shape[1]) for _ in range(2)]
    for found, values in zip(statistics, (features, others), strict=True):
        found.update(values)
    return statistics[0].distance(statistics[1])
