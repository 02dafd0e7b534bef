"""Measures how time and memory grow with a video's length and size.

    python -m tools.measure_growth

`VideoCodec` encodes and decodes longer and longer videos, and larger and larger ones.
Each backend runs in a process of its own. Prints the table of `docs/performance.md`;
`--output DIR` keeps the numbers as JSON, with a plot.
"""

import argparse
import dataclasses

import numpy as np

from keras_regen.benchmark import PRECISIONS
from keras_regen.figures import new_figure, save_figure
from tools.common import (
    PRESET,
    add_timing_options,
    in_process,
    log,
    print_table,
    save_json,
)

CHUNKS, SIDES, SIDE = (1, 4, 16, 64), (128, 256, 512, 1024), 128
TITLES = {"chunks": f"chunks of {SIDE}x{SIDE}", "pixels": "pixels of one chunk"}


def time_videos(preset, dtype, repeats, any_load):
    """Returns a row for each video and direction, on the backend of this process."""
    import keras

    from keras_regen.benchmark import Timer, load_limit, measure_peak_memory
    from keras_regen.codec import VideoCodec
    from keras_regen.hardware import on_accelerator
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
            memory = measure_peak_memory(backend if on_accelerator() else "cpu")
            timing = timer.time(function, compiled=memory.reset)
            row = {"backend": backend, "along": along, "value": value, "case": case}
            row.update(dataclasses.asdict(timing), frames=length, side=side)
            rows.append({**row, "seconds": timing.seconds, "peak": memory.stop()})
            log(f"{backend}, {case}, {length}x{side}x{side}")
    return rows


def table_cells(rows):
    """Returns a row of text for each row measured."""
    cells = []
    for row in rows:
        # The size and the seconds are divided by those of the curve's first point.
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
    return cells


def plot_growth(rows, path):
    """Draws seconds and memory, with a dotted line where the cost is proportional."""
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_timing_options(parser, repeats=3)
    parser.add_argument("--preset", default=PRESET)
    parser.add_argument("--dtype", choices=PRECISIONS, default="float32")
    args = parser.parse_args()
    rows = []
    for backend in args.backend:
        rows += in_process(
            time_videos,
            *(args.preset, args.dtype, args.repeats, args.any_load),
            KERAS_BACKEND=backend,
        )
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        save_json(args.output / "growth.json", rows)
        plot_growth(rows, args.output / "growth.png")
    print_table(
        ["backend", "case", "size", "times", "cost", "seconds", "min-max", "MB"],
        table_cells(rows),
    )


if __name__ == "__main__":
    main()
