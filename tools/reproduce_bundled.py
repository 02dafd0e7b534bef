"""Measures what `docs/results.md` says of the bundled presets, in float32.

    python -m tools.reproduce_bundled FOLDER RESULTS [TABLE ...]

FOLDER has the validation videos. TABLE is `sampling`, `interpolation` or `images`; by
default, all. Prints tables in Markdown. The reports go to RESULTS.
"""

import argparse
import pathlib

import keras
import numpy as np

from keras_regen import metrics
from keras_regen.evaluation import get_protocol
from keras_regen.models import load_model
from tools.common import (
    PRESET,
    log,
    print_table,
    reconstruct,
    save_json,
    score,
    validation_chunks,
)
from tools.reproduce import Scorer, embedder, score_table

PRESETS = {k: f"regen_small_8x8x{k}" for k in (8, 16, 32)}
STEPS = (1, 2, 4, 8, 16)
# Clips of a video, evenly spread, for the tables without FVD.
CHUNKS = 4


def sampling(folder, results):
    """Scores sampling steps of k = 8, on the first five chunks of every video."""
    scorer = Scorer(folder, results)
    protocol = get_protocol("regen").override(size=128, num_frames=9)
    models = [embedder(PRESET, n, name=f"{n} step{'s' * (n > 1)}") for n in STEPS]
    rows = scorer("sampling", models, protocol, max_clips=5)
    print(score_table("k", [("8", row) for row in rows]))


def interpolation(folder, results):
    """Encodes every second frame, decodes all, and scores those that it never saw.

    Two baselines are the mean of the two decoded frames around each, and the mean of
    the two original frames.
    """
    report, rows = {}, []
    for k, preset in PRESETS.items():
        model = load_model(preset)
        times = np.arange(2 * k + 1) / 2
        videos = {}
        for name, clips in validation_chunks(folder, 2 * k + 1, CHUNKS).items():
            scores = []
            for clip in clips:
                (video,) = model.decode(
                    model.encode(clip[None, ::2]), times=times, dtype="uint8"
                )
                unseen = clip[1::2]
                candidates = {
                    "encoded": (clip[::2], video[::2]),
                    "never seen": (unseen, video[1::2]),
                    "mean of decoded": (unseen, mean_of_neighbours(video[::2])),
                    "mean of originals": (unseen, mean_of_neighbours(clip[::2])),
                }
                scores.append(
                    {n: score(*pair)["psnr"] for n, pair in candidates.items()}
                )
            videos[name] = {
                "num_clips": len(scores),
                **{n: float(np.mean([s[n] for s in scores])) for n in scores[0]},
            }
            log(preset, name, videos[name])
        report[preset] = videos
        columns = [name for name in videos[name] if name != "num_clips"]
        means = [np.mean([row[name] for row in videos.values()]) for name in columns]
        count = sum(row["num_clips"] for row in videos.values())
        rows.append([preset, count, *(f"{mean:.2f}" for mean in means)])
    save_json(results / "interpolation.json", report)
    print_table(["", "N", *columns], rows)


def mean_of_neighbours(frames):
    frames = frames.astype("float32")
    return np.rint((frames[:-1] + frames[1:]) / 2).astype("uint8")


def images(folder, results):
    """Compares images with the first frames of chunks, and measures the grid.

    The grid is the ratio of the differences across the borders of 8x8 patches to those
    elsewhere, divided by the same ratio in the original: 1 means that none shows.
    """
    report, rows = {}, []
    for k, preset in PRESETS.items():
        model, clips = load_model(preset), []
        for name, chunks in validation_chunks(folder, k + 1, CHUNKS).items():
            videos, first = reconstruct(model, chunks, batch_size=4), chunks[:, :1]
            seams = range(8, chunks.shape[2], 8)
            ratios = [
                metrics.seam_ratio(chunk, video, seams, axis)
                for chunk, video in zip(chunks, videos, strict=True)
                for axis in ("rows", "columns")
            ]
            clips.append(
                {
                    "video": name,
                    "num_chunks": len(chunks),
                    "grid": float(np.mean(ratios)),
                    "image": score(first, reconstruct(model, first))["psnr"],
                    "first frame": score(first, videos[:, :1])["psnr"],
                    "other frames": score(chunks[:, 1:], videos[:, 1:])["psnr"],
                }
            )
            log(preset, clips[-1])
        report[preset] = clips
        columns = ["grid", "image", "first frame", "other frames"]
        means = [np.mean([clip[name] for clip in clips]) for name in columns]
        count = sum(clip["num_chunks"] for clip in clips)
        rows.append([preset, count, *(f"{mean:.2f}" for mean in means)])
    save_json(results / "images.json", report)
    print_table(["", "N", *columns], rows)


TABLES = {f.__name__: f for f in (sampling, interpolation, images)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of validation videos")
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], default=[])
    args = parser.parse_args()
    keras.config.set_dtype_policy("float32")
    args.results.mkdir(parents=True, exist_ok=True)
    for name in args.tables or TABLES:
        TABLES[name](args.folder, args.results)


if __name__ == "__main__":
    main()
