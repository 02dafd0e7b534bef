"""Measures what `docs/performance.md` says of speed.

    python tools/benchmark.py sizes --peers
    python tools/benchmark.py train
    python tools/benchmark.py layers
    python tools/benchmark.py linear

Every backend that is installed, or `--backend`, is measured in a process of its own,
one after the other, and the tables are printed for Markdown. `--output DIR` keeps the
numbers as JSON, with a plot. `sizes` and `train` are `keras-regen benchmark`, a process
for each precision too, with shares of the best ceiling of all backends; `layers`
compares layers of ours with Keras's, in turns; `linear` encodes and decodes longer and
longer videos, and larger and larger ones, with `VideoCodec`.
"""

import argparse
import concurrent.futures
import dataclasses
import importlib.util
import itertools
import json
import multiprocessing
import os
import pathlib
import sys
import tempfile

import numpy as np

from keras_regen.atomic_output import AtomicOutput
from keras_regen.backend import BACKENDS
from keras_regen.benchmark import PRECISIONS, REPORT, join_reports, plot_seconds
from keras_regen.figures import new_figure, save_figure

CHUNKS, SIDES, SIDE = (1, 4, 16, 64), (128, 256, 512, 1024), 128
# Side of 17 frames, channels, filters, kernel, strides, and whether those are not one.
CONVOLUTIONS = (
    (32, 12, 128, (3, 3, 3), (1, 1, 1), False),
    (32, 128, 128, (3, 3, 3), (1, 1, 1), False),
    (32, 128, 128, (1, 3, 3), (1, 1, 1), False),
    (32, 128, 128, (3, 1, 1), (1, 1, 1), False),
    (32, 128, 256, (3, 3, 3), (2, 2, 2), True),
)
TITLES = {"chunks": f"chunks of {SIDE}x{SIDE}", "pixels": "pixels of one chunk"}


def in_process(backend, function, *arguments):
    """Calls a function of this file in a new process, with a backend."""
    with concurrent.futures.ProcessPoolExecutor(
        1,
        multiprocessing.get_context("spawn"),
        initializer=use_backend,
        initargs=(backend,),
    ) as process:
        return process.submit(function, *arguments).result()


def use_backend(backend):
    os.environ["KERAS_BACKEND"] = backend


def print_table(headings, rows):
    """Prints a table for Markdown, numbers to the right."""
    numbers = [all(_is_number(row[i]) for row in rows) for i in range(len(headings))]
    print(f"\n| {' | '.join(headings)} |")
    print(f"|{'|'.join('--:' if number else '---' for number in numbers)}|")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    print(flush=True)


def _is_number(cell):
    return str(cell)[:1] in set("0123456789.")


# === Sizes and training ===


def command_line(arguments):
    """Runs `keras-regen`, and returns its status."""
    from keras_regen.cli import main

    try:
        main(arguments)
    except SystemExit as end:
        return end.code


def measure_models(args):
    """Runs the benchmark of every backend and precision.

    Returns:
        List of reports. Where a run failed, what it measured before.
    """
    reports, names = [], ("model", "case", "k", "size", "batch", "steps", "repeats")
    for dtype, backend in itertools.product(args.dtype, args.backend):
        # Peers are the same beside every backend.
        with_peers = args.peers and backend == args.backend[0]
        directory = args.output / f"{args.command}_{backend}_{dtype}"
        options = ["--dtype", dtype, "--output", str(directory)]
        for name in names:
            for value in np.atleast_1d(getattr(args, name)):
                options += [f"--{name}", str(value)]
        options += ["--peers"] * with_peers + ["--any-load"] * args.any_load
        (directory / REPORT).unlink(missing_ok=True)
        status = in_process(backend, command_line, ["benchmark", *options])
        if status:
            print(f"{backend}, {dtype}: ended with status {status}", file=sys.stderr)
        if (directory / REPORT).exists():
            reports.append(json.loads((directory / REPORT).read_text()))
    return reports


def models(args):
    """The commands `sizes` and `train`."""
    reports = measure_models(args)
    if not reports:
        sys.exit("Nothing could be measured.")
    joined = join_reports(reports)
    save(args, joined)
    labels = [f"{row['model']}, {row['backend']}".strip(", ") for row in joined["rows"]]
    rows = [
        {**row, "model": label}
        for row, label in zip(joined["rows"], labels, strict=True)
    ]
    plot_seconds({**joined, "rows": rows}, args.output / f"{args.command}.png")
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
        print("How many times as long as ours the peers take:")
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


# === Layers ===


def layer_pair(shape, ours, theirs):
    """Two functions that run the layers, alike in weights, on the same input."""
    import keras

    x = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    models = []
    for function in (ours, theirs):
        inputs = keras.Input(shape[1:], batch_size=shape[0])
        models.append(keras.Model(inputs, function(inputs)))
    rng = np.random.default_rng(0)
    weights = [rng.uniform(-0.05, 0.05, w.shape) for w in models[0].weights]
    for model in models:
        # Depthwise kernels differ in an axis of one.
        model.set_weights(
            [v.reshape(w.shape) for v, w in zip(weights, model.weights, strict=True)]
        )
    a, b = (lambda model=model: model.predict_on_batch(x) for model in models)
    np.testing.assert_allclose(a(), b(), atol=1e-3)
    return a, b


def time_layers(repeats, any_load):
    """The comparisons, on the backend of this process."""
    import keras
    from keras import layers, ops

    from keras_regen.benchmark import Timer, load_limit
    from keras_regen.layers import CausalConv3D, DepthwiseMixing, dot_product_attention

    def conv_pair(shape, filters, kernel_size, strides):
        ours = CausalConv3D(filters, kernel_size, strides)
        padding = [(kernel_size[0] - 1, 0)]
        for size, kernel, stride in zip(
            shape[2:4], kernel_size[1:], strides[1:], strict=True
        ):
            total = kernel - 1 - (size - 1) % stride
            padding.append((total // 2, total - total // 2))
        pad = layers.ZeroPadding3D(padding)
        conv = layers.Conv3D(filters, kernel_size, strides)
        return layer_pair(shape, ours, lambda x: conv(pad(x)))

    def keras_mixing(x):
        frames = ops.reshape(x, (-1, *x.shape[2:]))
        mixed = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(frames)
        return x + ops.reshape(mixed, x.shape)

    def attention_pair(shape):
        ours, theirs = (
            layers.Lambda(
                lambda x, function=function: function(*ops.split(x, 3, axis=2)),
                output_shape=(shape[1], shape[2] // 3, shape[3]),
            )
            for function in (dot_product_attention, ops.dot_product_attention)
        )
        return layer_pair(shape, ours, theirs)

    pairs = [
        (f"CausalConv3D, {kernel}, {channels} to {filters}" + f", {strides}" * down,
         "Conv3D", conv_pair((1, 17, side, side, channels), filters, kernel, strides))
        for side, channels, filters, kernel, strides, down in CONVOLUTIONS
    ]  # fmt: skip
    mixing = layer_pair((1, 17, 16, 16, 768), DepthwiseMixing(), keras_mixing)
    pairs.append(("DepthwiseMixing, 768", "DepthwiseConv2D", mixing))
    # Queries, keys and values of six heads.
    heads = attention_pair((1, 17 * 16 * 16, 18, 128))
    pairs.append(("attention, 4352 tokens", "dot_product_attention", heads))
    timer, rows = Timer(repeats, load_limit(), any_load), []
    for a_name, b_name, pair in pairs:
        a, b = timer.take_turns(*pair)
        ratios = np.divide(b.samples, a.samples)
        rows.append(
            {
                "backend": keras.backend.backend(),
                "a": {"name": a_name, **dataclasses.asdict(a)},
                "b": {"name": b_name, **dataclasses.asdict(b)},
                "ratio": b.seconds / a.seconds,
                "spread": np.quantile(ratios, (0.25, 0.75)).tolist(),
            }
        )
    return rows


def compare_layers(args):
    """The command `layers`."""
    rows = []
    for backend in args.backend:
        rows += in_process(backend, time_layers, args.repeats, args.any_load)
    save(args, rows)
    cells = []
    for row in rows:
        milliseconds = [1e3 * np.median(row[side]["samples"]) for side in "ab"]
        cells.append(
            [
                *(row["backend"], row["a"]["name"], row["b"]["name"]),
                *(f"{value:.3g}" for value in milliseconds),
                f"{row['ratio']:.2f}",
                "{:.2f} to {:.2f}".format(*row["spread"]),
            ]
        )
    print("The spread is the middle half of the ratios of neighbouring samples.")
    print_table(["backend", "A", "B", "A, ms", "B, ms", "B / A", "spread"], cells)


# === Longer and larger videos ===


def time_videos(preset, dtype, repeats, any_load):
    """Rows of whole videos, on the backend of this process."""
    import keras

    from keras_regen.benchmark import Timer, load_limit, peak_memory
    from keras_regen.codec import VideoCodec
    from keras_regen.hardware import on_gpu
    from keras_regen.models import load_model

    backend, timer = keras.backend.backend(), Timer(repeats, load_limit(), any_load)
    codec = VideoCodec(load_model(preset, dtype=dtype))
    frames = codec.model.temporal_compression + 1
    sizes = [("chunks", chunks, chunks * frames, SIDE) for chunks in CHUNKS]
    sizes += [("pixels", side**2, frames, side) for side in SIDES]
    rng, rows = np.random.default_rng(0), []
    for along, value, length, side in sizes:
        video = rng.integers(0, 256, (length, side, side, 3), "uint8")
        latents = codec.encode(video)
        for case, function in (
            ("encode", lambda video=video: codec.encode(video)),
            ("decode", lambda latents=latents: codec.decode(latents)),
        ):
            memory = peak_memory(backend if on_gpu() else "cpu")
            timing = timer.time(function, compiled=memory.reset)
            row = {"backend": backend, "along": along, "value": value, "case": case}
            row.update(dataclasses.asdict(timing), frames=length, side=side)
            rows.append({**row, "seconds": timing.seconds, "peak": memory.stop()})
            print(f"{backend}, {case}, {length}x{side}x{side}", file=sys.stderr)
    return rows


def measure_cost(args):
    """The command `linear`."""
    rows = []
    for backend in args.backend:
        rows += in_process(
            backend, time_videos, args.preset, args.dtype, args.repeats, args.any_load
        )
    save(args, rows)
    plot_cost(rows, args.output / "linear.png")
    cells = []
    for row in rows:
        # How many times the first of its kind, and how many times its seconds.
        first = next(r for r in rows if _curve(r) == _curve(row))
        peak = row["peak"]
        cells.append(
            [
                *(row["backend"], row["case"]),
                f"{row['frames']}x{row['side']}x{row['side']}",
                f"{row['value'] / first['value']:.0f}",
                f"{row['seconds'] / first['seconds']:.3g}",
                f"{row['seconds']:.3g}",
                f"{min(row['samples']):.3g}-{max(row['samples']):.3g}",
                "" if peak is None else f"{peak / 1e6:.0f}",
            ]
        )
    print_table(
        ["backend", "case", "size", "times", "cost", "seconds", "min-max", "MB"], cells
    )


def plot_cost(rows, path):
    """Draws seconds and memory over length and area, and a line of equal shares."""
    figure = new_figure(11, 8)
    for line, name in zip(figure.subplots(2, 2), ("seconds", "peak"), strict=True):
        for axes, along in zip(line, TITLES, strict=True):
            here = [row for row in rows if row["along"] == along and row[name]]
            for curve in dict.fromkeys(map(_curve, here)):
                points = [(r["value"], r[name]) for r in here if _curve(r) == curve]
                x, y = np.transpose(points)
                y = y / 1e6 if name == "peak" else y
                drawn = axes.plot(x, y, "o-", label=f"{curve[0]}, {curve[2]}")[0]
                if name == "seconds":
                    straight = y[0] * x / x[0]
                    axes.plot(x, straight, ":", color=drawn.get_color())
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xlabel(TITLES[along])
            axes.set_ylabel("seconds" if name == "seconds" else "memory, MB")
            axes.grid(alpha=0.3, which="both")
            axes.legend(fontsize="small")
    save_figure(figure, path)


def _curve(row):
    return row["backend"], row["along"], row["case"]


# === The command line ===


def save(args, results):
    with AtomicOutput(args.output / f"{args.command}.json", "results") as output:
        output.temporary.write_text(json.dumps(results, indent=1) + "\n")


def parse_arguments():
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--backend", nargs="+", choices=BACKENDS, default=installed)
    common.add_argument("--any-load", action="store_true")
    common.add_argument("--output", type=pathlib.Path, help="a directory")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)

    for name, cases in (("sizes", ["encode", "decode", "dit"]), ("train", ["train"])):
        command = commands.add_parser(name, parents=[common])
        command.set_defaults(run=models, case=cases, peers=False)
        sizes = ["tiny", "small", "base"] if name == "sizes" else ["tiny", "small"]
        command.add_argument("--model", nargs="+", default=sizes)
        command.add_argument("--k", type=int, nargs="+", default=[16])
        command.add_argument("--size", nargs="+", default=["128x128"])
        precisions = ["float32", "mixed_bfloat16"]
        command.add_argument("--dtype", nargs="+", default=precisions)
        command.add_argument("--batch", type=int, default=1)
        command.add_argument("--steps", type=int, default=1)
        command.add_argument("--repeats", type=int, default=5)
        if name == "sizes":
            command.add_argument("--case", nargs="+", default=cases)
            command.add_argument("--peers", action="store_true")

    command = commands.add_parser("layers", parents=[common])
    command.set_defaults(run=compare_layers)
    command.add_argument("--repeats", type=int, default=20)

    command = commands.add_parser("linear", parents=[common])
    command.set_defaults(run=measure_cost)
    command.add_argument("--preset", default="regen_tiny_8x8x8")
    command.add_argument("--dtype", choices=PRECISIONS, default="float32")
    command.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def main():
    args = parse_arguments()
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        args.run(args)
        return
    with tempfile.TemporaryDirectory() as directory:
        args.output = pathlib.Path(directory)
        args.run(args)


if __name__ == "__main__":
    main()
