"""The command `benchmark`."""

import os
import pathlib
from typing import Annotated

import rich.console
import rich.live
import rich.progress
import typer

from keras_regen.backend import quiet_start
from keras_regen.benchmark import (
    CASES,
    PEERS,
    PLOT,
    PRECISIONS,
    REPORT,
    Settings,
    import_psutil,
)
from keras_regen.cli.common import DEFAULT_PRESET, load_keras, make_console, make_table
from keras_regen.cli.options import StepsOption, check_output
from keras_regen.figures import new_figure
from keras_regen.sizes import parse_size

# Each row has two lines: the conditions under the model, the range under the median.
HEADINGS = ("", "first, s", "seconds", "frames/s", "GFLOP/s", "share", "MB")


def benchmark(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="tiny, small, base or paper, with random weights, or a preset as for "
            f"encode; once or more. [{DEFAULT_PRESET}]"
        ),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(help=f"Any of {', '.join(CASES)}; once or more. [encode, decode]"),
    ] = None,
    k: Annotated[
        list[int] | None,
        typer.Option(
            min=2, help="Frames after the first. [8, or the preset's; once or more]"
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEIGHTxWIDTH", help="Multiples of 8; once or more. [128x128]"
        ),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help=f"Any of {', '.join(PRECISIONS)}; once or more. [float32]"),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Chunks in a batch.")] = 1,
    steps: StepsOption = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Samples of each case.")] = 5,
    peers: Annotated[
        bool, typer.Option("--peers", help="Time the autoencoders of diffusers too.")
    ] = False,
    peer: Annotated[
        list[str] | None,
        typer.Option(help=f"Any of {', '.join(PEERS)}; once or more."),
    ] = None,
    any_load: Annotated[
        bool,
        typer.Option(
            "--any-load", help="Keep samples that were taken while other programs ran."
        ),
    ] = False,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where to write benchmark.json and benchmark.png.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files in DIR.")
    ] = False,
) -> None:
    """Time encoding, decoding and training on this machine.

    The table gives seconds, and the speed as a share of the machine's highest, which is
    measured in the same run. A sample is taken again if another program ran meanwhile.
    """
    settings = Settings(
        models=tuple(model or [DEFAULT_PRESET]),
        cases=tuple(case or ["encode", "decode"]),
        compressions=tuple(k or ()),
        sizes=tuple(parse_size(x, "HEIGHTxWIDTH") for x in size or ["128x128"]),
        dtypes=tuple(dtype or ["float32"]),
        batch_size=batch,
        num_steps=steps,
        repeats=repeats,
        peers=tuple(peer or (PEERS if peers else ())),
        any_load=any_load,
    )
    # Raises an error now, and not after the work, if a package is missing.
    import_psutil()
    if output is not None:
        check_output(output / REPORT, overwrite=overwrite)
        new_figure(1, 1)
        output.mkdir(parents=True, exist_ok=True)
    if settings.peers:
        # PyTorch needs GPU memory too, so the backend must not allocate all of it.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    console = make_console()
    load_keras(console)
    with quiet_start():
        from keras_regen.benchmark import Benchmark

        run = Benchmark(settings)
    _run(run, output, console)
    _show(run.report(), console)
    if output is not None:
        from keras_regen.benchmark import plot_seconds

        plot_seconds(run.report(), output / PLOT)
        console.print(f"Report: {output / REPORT}, {output / PLOT}")


def _run(run, output, console):
    """Runs the cases and adds each to the table."""
    table = make_table(None, *HEADINGS)
    for column in table.columns[1:]:
        column.no_wrap = True
    progress = rich.progress.Progress(
        rich.progress.TextColumn("Timing"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.description}", markup=False),
        console=console,
    )
    task = progress.add_task("", total=len(run))
    group = rich.console.Group(table, progress)
    with rich.live.Live(group, console=console, vertical_overflow="visible") as live:
        for row in run.run(lambda label: progress.update(task, description=label)):
            progress.advance(task)
            if row is not None:
                table.add_row(_label(row), *_cells(row))
            if output is not None:
                run.save(output)
        live.update(table)
    if not console.is_terminal:
        # Without a terminal, the live display ends without a line break.
        console.print()


def _label(row):
    batch = f"{row['batch_size']} of " if row["batch_size"] > 1 else ""
    steps = f", {row['num_steps']} steps" if row["num_steps"] > 1 else ""
    size = f"{row['frames']}x{row['height']}x{row['width']}"
    return f"{row['model']}, {row['case']}{steps}\n{batch}{size}, {row['dtype']}"


def _cells(row):
    peak = row["peak_memory_bytes"]
    return (
        f"{row['first_call_seconds']:.3g}",
        f"{row['seconds']:.3g}\n{row['min_seconds']:.3g}-{row['max_seconds']:.3g}",
        f"{row['frames_per_second']:.3g}",
        f"{row['operations_per_second'] / 1e9:.4g}",
        f"{row['share_of_ceiling']:.0%}",
        "" if peak is None else f"{peak / 1e6:.0f}",
    )


def _show(report, console):
    """Prints the machine's speed, the peers' ratios, and what was left out."""
    console.print("Highest speed of the machine, GFLOP/s:")
    table = make_table(None, "", "matmul", "conv3d", "NumPy's matmul")
    for precision, rates in report["ceilings"].items():
        cells = [rates.get(name) for name in ("matmul", "conv3d", "numpy")]
        table.add_row(
            precision, *("" if rate is None else f"{rate / 1e9:.4g}" for rate in cells)
        )
    console.print(table)
    ours = [row for row in report["rows"] if row.get("ratios")]
    if ours:
        columns = list(dict.fromkeys(name for row in ours for name in row["ratios"]))
        console.print("Time of the peers, as a multiple of ours:")
        table = make_table(None, "", *columns)
        for row in ours:
            ratios = [row["ratios"].get(name) for name in columns]
            cells = ["" if ratio is None else f"{ratio:.3g}" for ratio in ratios]
            table.add_row(_label(row), *cells)
        console.print(table)
    for line in report["skipped"]:
        console.print(f"Skipped {line}")
    if report["other_cores_allowed"] is None:
        busiest = max(max(row["other_cores"]) for row in report["rows"])
        console.print(f"Other programs ran meanwhile, on up to {busiest:.2f} cores.")
    elif discarded := sum(row["discarded"] for row in report["rows"]):
        console.print(f"Discarded {discarded} samples, because another program ran.")
