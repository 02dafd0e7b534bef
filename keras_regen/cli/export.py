"""The command `export`."""

import pathlib
import time
from typing import Annotated

import typer

from keras_regen.backend import quiet_start
from keras_regen.cli.common import load_keras, load_preset, make_console, make_table
from keras_regen.cli.options import (
    PrecisionOption,
    ScheduleOption,
    check_preset,
    complete_preset,
)
from keras_regen.export import find_format
from keras_regen.sizes import parse_size
from keras_regen.types import ExportFormat, WeightsDtype


def export(
    preset: Annotated[
        str,
        typer.Argument(
            metavar="PRESET",
            help="A codec or a generator: a bundled name, a directory or "
            "hf://user/name.",
            autocompletion=complete_preset,
        ),
    ],
    output: Annotated[
        pathlib.Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A new directory; for TF Serving with a version number as its name, "
            "such as serving/1.",
        ),
    ],
    format: Annotated[
        ExportFormat, typer.Option(help="The format to write.")
    ] = "tf_saved_model",
    precision: PrecisionOption = "float32",
    weights: Annotated[
        WeightsDtype | None,
        typer.Option(help="SavedModel: how weights are stored. Defaults to float32."),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(help="SavedModel: the most sampling steps of a request."),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(help="SavedModel: the most pixels of a request, over all frames."),
    ] = None,
    warmup: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="SavedModel: sizes to warm up with, or `none`. Defaults to 128x128; a "
            "generator warms up with its own.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="ONNX, OpenVINO and PyTorch: sampling steps of decoding; in other "
            "formats they are an input. A generator: its sampling steps; defaults to "
            "the preset's."
        ),
    ] = None,
    schedule: ScheduleOption = "log_snr",
    frames: Annotated[
        int | None,
        typer.Option(help="A generator: frames of a video. Defaults to the preset's."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="A generator: size of a video. Defaults to the preset's.",
        ),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="A generator: the codec's preset. Defaults to the one that it names.",
        ),
    ] = None,
) -> None:
    """Export a preset for TF Serving or another runtime."""
    console = make_console()
    options = {
        "weights": weights,
        "max_steps": max_steps,
        "max_pixels": max_pixels,
        "warmup": warmup and _sizes(warmup),
        "num_steps": steps,
        "schedule": schedule,
    }
    options = {name: value for name, value in options.items() if value is not None}
    width, height = (None, None) if size is None else parse_size(size)
    fixed = {"num_frames": frames, "height": height, "width": width, "codec": codec}
    fixed = {name: value for name, value in fixed.items() if value is not None}
    check_preset(preset, kind=None)
    saved_model = format == "tf_saved_model"
    # Only generators take `num_steps` for a SavedModel, and the kind is not known yet.
    early = {k: v for k, v in options.items() if not saved_model or k != "num_steps"}
    chosen = find_format(format, early)
    # A backend that can write the format itself needs no second process.
    load_keras(console, preferred=chosen.backend())
    from keras_regen.models import preset_kind

    start = time.perf_counter()
    arguments: tuple[object, ...]
    if preset_kind(preset) == "generator":
        if not saved_model:
            raise ValueError(
                "A generator is exported as tf_saved_model. "
                f"Received: --format {format}"
            )
        # The codec decodes in one step, which is the same with any.
        options.pop("schedule")
        model, options = _load_generator(preset, precision, {**options, **fixed})
        arguments = (output,)
    else:
        if fixed:
            raise ValueError(
                "`--frames`, `--size` and `--codec` are for generators. "
                f"Received: {preset}, a codec"
            )
        find_format(format, options)
        model = load_preset(preset, precision)
        if not model.is_generative:
            raise ValueError(
                "A model with a conventional decoder cannot be exported. "
                f"Received: {preset}, of a `{type(model).__name__}`"
            )
        arguments = (output, format)
    with console.status(f"Exporting to {format}"), quiet_start():
        model.export(*arguments, **options)
    summary = make_table()
    files = [path for path in output.rglob("*") if path.is_file()]
    for path in sorted(files):
        size = f"{path.stat().st_size:,} bytes"
        summary.add_row(str(path.relative_to(output)), size)
    summary.add_row("time", f"{time.perf_counter() - start:.1f} s")
    summary.add_row("output", str(output))
    console.print(summary)


def _load_generator(preset, precision, options):
    """Returns a `VideoGenerator`, and the options of its export."""
    from keras_regen.generation import VideoGenerator

    if "max_steps" in options:
        raise ValueError(
            "A generator has its number of steps fixed. Received: --max-steps"
        )
    if options.get("warmup"):
        height, width = options["warmup"][0]
        raise ValueError(
            "A generator warms up with its own size, or not at all: --warmup none. "
            f"Received: --warmup {width}x{height}"
        )
    if "warmup" in options:
        options["warmup"] = False
    with quiet_start():
        codec = options.pop("codec", None)
        return VideoGenerator.from_preset(preset, codec, dtype=precision), options


def _sizes(texts):
    """Returns pairs of height and width, of texts such as 192x128 or `none`."""
    if texts == ["none"]:
        return []
    return [(height, width) for width, height in map(parse_size, texts)]
