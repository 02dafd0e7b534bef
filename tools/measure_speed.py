"""Measures how fast models encode, decode and train, next to models of diffusers.

    python -m tools.measure_speed sizes --peers
    python -m tools.measure_speed train

Each backend and precision runs `keras-regen benchmark` in a process of its own, one
after the other. Prints the tables of `docs/performance.md`; `--output DIR` keeps the
numbers as JSON, with a plot.
"""

import argparse
import itertools
import json
import pathlib
import sys
import tempfile

import numpy as np

from keras_regen.benchmark import PRECISIONS, REPORT, join_reports, plot_seconds
from tools.common import add_timing_options, in_process, log, print_table, save_json

# Options that are passed on to `keras-regen benchmark`.
PASSED_ON = ("model", "case", "k", "size", "batch", "steps", "repeats")


def command_line(arguments):
    """Runs `keras-regen` and returns its exit status."""
    from keras_regen.cli import main

    try:
        main(arguments)
    except SystemExit as end:
        return end.code


def measure_models(args):
    """Runs the benchmark of every backend and precision.

    Returns:
        List of reports. A run that failed still reports what it had measured.
    """
    reports = []
    for dtype, backend in itertools.product(args.dtype, args.backend):
        # Peers run on PyTorch, so one backend of ours is enough to run them with.
        with_peers = args.peers and backend == args.backend[0]
        directory = args.output / f"{args.command}_{backend}_{dtype}"
        options = ["--dtype", dtype, "--output", str(directory)]
        for name in PASSED_ON:
            for value in np.atleast_1d(getattr(args, name)):
                options += [f"--{name}", str(value)]
        options += ["--peers"] * with_peers + ["--any-load"] * args.any_load
        (directory / REPORT).unlink(missing_ok=True)
        status = in_process(
            command_line, ["benchmark", *options], KERAS_BACKEND=backend
        )
        if status:
            log(f"{backend}, {dtype}: ended with status {status}")
        if (directory / REPORT).exists():
            reports.append(json.loads((directory / REPORT).read_text()))
    return reports


def measure(args):
    reports = measure_models(args)
    if not reports:
        sys.exit("Nothing could be measured.")
    joined = join_reports(reports)
    save_json(args.output / f"{args.command}.json", joined)
    labels = [f"{row['model']}, {row['backend']}".strip(", ") for row in joined["rows"]]
    rows = [
        {**row, "model": label}
        for row, label in zip(joined["rows"], labels, strict=True)
    ]
    plot_seconds({**joined, "rows": rows}, args.output / f"{args.command}.png")
    print_report(reports, joined)


# === Tables ===


def print_report(reports, joined):
    machine = joined["machine"]
    print(
        f"{machine['device']}; {machine['cpu']}, {machine['usable_threads']} threads; "
        f"{joined['date'][:10]}; Keras {joined['versions']['keras']}"
    )
    print_table(
        ["backend", "precision", "matmul, GFLOP/s", "conv3d", "NumPy's matmul"],
        [
            [
                report["backend"],
                precision,
                *(_giga(rates.get(name)) for name in ("matmul", "conv3d", "numpy")),
            ]
            for report in reports
            for precision, rates in report["ceilings"].items()
        ],
    )
    print_table(
        [
            *("model", "backend", "case", "size", "precision", "seconds", "min-max"),
            *("frames/s", "GFLOP/s", "share", "MB"),
        ],
        [_model_row(row) for row in joined["rows"]],
    )
    for reason in joined["skipped"]:
        print(f"Skipped: {reason}")
    peers = [row["model"] for row in joined["rows"] if row["is_peer"]]
    ours = [row for row in joined["rows"] if row.get("ratios")]
    if ours:
        names = list(dict.fromkeys(peers))
        print("\nThe seconds that the peers take, divided by ours:")
        print_table(
            ["model", "backend", "case", "size", "precision", *names],
            [[*_model_row(row)[:5], *_ratios(row, names)] for row in ours],
        )


def _ratios(row, names):
    ratios = [row["ratios"].get(name) for name in names]
    return ["" if ratio is None else f"{ratio:.3g}" for ratio in ratios]


def _model_row(row):
    batch = f"{row['batch_size']} of " if row["batch_size"] > 1 else ""
    peak = row["peak_memory_bytes"]
    return [
        row["model"],
        row["backend"],
        row["case"] + f", {row['num_steps']} steps" * (row["num_steps"] > 1),
        f"{batch}{row['frames']}x{row['height']}x{row['width']}",
        PRECISIONS[row["dtype"]],
        f"{row['seconds']:.3g}",
        f"{row['min_seconds']:.3g}-{row['max_seconds']:.3g}",
        f"{row['frames_per_second']:.3g}",
        _giga(row["operations_per_second"]),
        f"{row['share_of_ceiling']:.0%}",
        "" if peak is None else f"{peak / 1e6:.0f}",
    ]


def _giga(rate):
    return "" if rate is None else f"{rate / 1e9:.4g}"


# === The command line ===


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, models, cases in (
        ("sizes", ["tiny", "small", "base"], ["encode", "decode", "dit"]),
        ("train", ["tiny", "small"], ["train"]),
    ):
        command = commands.add_parser(name)
        command.set_defaults(case=cases, peers=False)
        add_timing_options(command, repeats=5)
        command.add_argument("--model", nargs="+", default=models)
        command.add_argument("--k", type=int, nargs="+", default=[16])
        command.add_argument("--size", nargs="+", default=["128x128"])
        precisions = ["float32", "mixed_bfloat16"]
        command.add_argument("--dtype", nargs="+", default=precisions)
        command.add_argument("--batch", type=int, default=1)
        command.add_argument("--steps", type=int, default=1)
        if name == "sizes":
            command.add_argument("--case", nargs="+", default=cases)
            command.add_argument("--peers", action="store_true")
    return parser.parse_args()


def main():
    args = parse_arguments()
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        measure(args)
        return
    with tempfile.TemporaryDirectory() as directory:
        args.output = pathlib.Path(directory)
        measure(args)


if __name__ == "__main__":
    main()
