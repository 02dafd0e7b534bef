"""Measures the paper's tables, at a scale that two CPU cores can train.

    python -m tools.reproduce train DATA RUNS [NAME ...]
    python -m tools.reproduce score DATA RUNS RESULTS
    KERAS_BACKEND=torch python -m tools.reproduce count

`train` trains every model of the tables, or those named. It resumes a run that was
interrupted, and several processes may train different names at once. On a GPU give it
more `--steps`. `score` scores these models, and writes to RESULTS the reports, the
settings and history of every run, the plots, and `tables.md`. DATA has the folders
`train` and `valid`. `count` prints the operations of a step.
`tools.reproduce_bundled` scores the bundled presets.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
from unittest import mock

import keras
import numpy as np

from keras_regen import metrics
from keras_regen.atomic_output import AtomicOutput
from keras_regen.codec import VideoCodec
from keras_regen.evaluation import (
    Evaluation,
    embedders,
    get_protocol,
    open_dataset,
)
from keras_regen.figures import new_figure, save_figure
from keras_regen.models import load_model
from keras_regen.training import TrainingConfig, train, untrained_model
from tools.common import log, markdown_table, print_table

# A step has the same number of frames for every k, within 9 %.
BATCH_SIZES = {8: 24, 16: 12, 32: 6}
RUNS = {
    **{f"regen_{k}": ("dit", k) for k in BATCH_SIZES},
    **{f"conv_{k}": ("conv", k) for k in BATCH_SIZES},
    "in_context_8": ("in_context", 8),
}
TRAINING_STEPS = {8: 400, 16: 250, 32: 400}
RESOLUTION = 48
# Every k is scored on the same clips, which are one chunk of k = 32.
TABLE_1 = get_protocol("regen").override(size=128, num_frames=33)


def config(data, name, steps):
    decoder, k = RUNS[name]
    return TrainingConfig(
        data=[str(data / "train")],
        validation=[str(data / "valid")],
        size="tiny",
        decoder=decoder,
        temporal_compression=k,
        resolution=[RESOLUTION],
        batch_size=BATCH_SIZES[k],
        margin=0,
        image_share=0.0,
        zoom=4.0,
        cache="3GB",
        workers=1,
        steps=steps or TRAINING_STEPS[k],
        steps_per_epoch=50,
    )


def count():
    """Prints the parameters of every run's model and the operations of a step."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    rows = []
    for name, (_, k) in RUNS.items():
        model = untrained_model(config(pathlib.Path(), name, None))
        model.compile(keras.optimizers.SGD())
        clips = np.zeros((2, k + 1, RESOLUTION, RESOLUTION, 3), "uint8")
        model.train_on_batch(clips)
        # PyTorch does not count those of fused attention on a CPU and of oneDNN.
        with (
            sdpa_kernel(SDPBackend.MATH),
            mock.patch("keras_regen.layers.onednn.is_faster", return_value=False),
            FlopCounterMode(display=False) as counter,
        ):
            model.train_on_batch(clips)
        sizes = [part.count_params() / 1e6 for part in (model.encoder, model.decoder)]
        operations = counter.get_total_flops() / len(clips) / 1e9
        rows.append([name, *(f"{size:.2f} M" for size in sizes), f"{operations:.2f}"])
    print_table(["run", "encoder", "decoder", "10^9 operations a clip"], rows)


# === Scoring ===


class Scorer:
    """Scores embedders on the validation clips, and keeps the reports."""

    def __init__(self, folder, results):
        self.items = open_dataset(folder)
        self.results = results
        self.features = metrics.I3DFeatures(batch_size=1)

    def __call__(self, name, models, protocol, max_clips=None):
        evaluation = Evaluation(
            models,
            self.items,
            protocol,
            self.results / f"{name}.json",
            self.features,
            max_clips=max_clips,
        )
        for embedder, video in evaluation.run():
            log(name, embedder, video)
        return evaluation.report()["embedders"]


def embedder(preset, num_steps=1, name=None):
    # These runs were not trained to extrapolate, so chunks are not blended.
    codec = VideoCodec(load_model(preset), blend_frames=0)
    name = name or pathlib.Path(preset).name
    return embedders.VideoCodecEmbedder(codec, num_steps, name=name)


def score(data, runs, results):
    scorer = Scorer(data / "valid", results)
    presets = {name: runs / name / "preset" for name in RUNS}
    tables = {
        "1": compression(scorer, presets),
        "2": conditioning(scorer, presets),
        "grid": grid(scorer, presets),
    }
    for name in RUNS:
        (results / name).mkdir(exist_ok=True)
        shutil.copy(runs / name / "history.json", results / name)
        settings = TrainingConfig.load(runs / name / "config.toml")
        dataclasses.replace(
            settings, data=["DATA/train"], validation=["DATA/valid"]
        ).save(results / name / "config.toml")
    text = "\n\n".join(f"Table {number}\n\n{table}" for number, table in tables.items())
    with AtomicOutput(results / "tables.md", "tables") as output:
        output.temporary.write_text(text + "\n")
    plot_histories(runs, results / "history.png")


def compression(scorer, presets):
    """Table 1: REGEN and the conventional decoder, by k."""
    lines = []
    for k in BATCH_SIZES:
        models = [
            embedder(presets[f"{kind}_{k}"], name=f"{kind}_{k}")
            for kind in ("regen", "conv")
        ]
        models.append(embedders.ZonalDct(models[0], k + 1, name=f"dct_{k}"))
        for row in scorer(f"compression_{k}", models, TABLE_1):
            lines.append((f"8x8x{k}", row))
    return score_table("compression", lines)


def grid(scorer, presets):
    """How much the borders of 8x8 patches show: 1 means not at all."""
    lines = []
    for name, preset in presets.items():
        model = embedder(preset)
        ratios = []
        for item in scorer.items:
            clip = next(iter(TABLE_1.clips(item.path, item.fps)))
            video = model.reconstruct(clip).video
            seams = range(8, clip.shape[1], 8)
            ratios.append(
                [
                    metrics.seam_ratio(clip, video, seams, axis)
                    for axis in ("rows", "columns")
                ]
            )
        lines.append([name, *(f"{ratio:.2f}" for ratio in np.mean(ratios, axis=0))])
    return markdown_table(["", "across rows", "across columns"], lines)


def conditioning(scorer, presets):
    """Table 2: two ways to condition, at the resolution of training and at twice."""
    lines = []
    for size in (RESOLUTION, 2 * RESOLUTION):
        models = [
            embedder(presets[name], name=name) for name in ("regen_8", "in_context_8")
        ]
        protocol = get_protocol("regen").override(size=size, num_frames=9)
        for row in scorer(f"conditioning_{size}", models, protocol, max_clips=8):
            lines.append((f"{size}x{size}", row))
    return score_table("resolution", lines)


def score_table(group, lines):
    columns = {
        "PSNR": lambda row: f"{row['psnr']:.2f}",
        "SSIM": lambda row: f"{row['ssim']:.4f}",
        "PSNR of changes": lambda row: f"{row['temporal_consistency']:.2f}",
        "FVD": lambda row: f"{row['frechet_video_distance']['value']:.1f}",
        "N": lambda row: str(row["num_clips"]),
    }
    rows = [
        [value, row["embedder"], *(column(row) for column in columns.values())]
        for value, row in lines
    ]
    return markdown_table([group, "", *columns], rows)


def plot_histories(runs, path):
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    for name in RUNS:
        history = json.loads((runs / name / "history.json").read_text())
        axes.plot(
            *zip(*((r["step"], r["psnr"]) for r in history), strict=True), label=name
        )
    axes.set(xlabel="step", title="PSNR of four validation clips while training, dB")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training, scoring = commands.add_parser("train"), commands.add_parser("score")
    commands.add_parser("count")
    for command in (training, scoring):
        command.add_argument("data", type=pathlib.Path)
        command.add_argument("runs", type=pathlib.Path)
    training.add_argument("names", nargs="*", choices=[[], *RUNS], default=[])
    training.add_argument("--steps", type=int)
    scoring.add_argument("results", type=pathlib.Path)
    args = parser.parse_args()
    if args.command == "count":
        count()
        return
    if args.command == "score":
        keras.config.set_dtype_policy("float32")
        args.results.mkdir(parents=True, exist_ok=True)
        score(args.data, args.runs, args.results)
        return
    for name in args.names or RUNS:
        train(config(args.data, name, args.steps), args.runs / name)


if __name__ == "__main__":
    main()
