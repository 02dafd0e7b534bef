"""The commands `invert`, `interpolate`, `edit` and `compare`."""

import contextlib
import fractions
import pathlib
import time
from typing import Annotated

import numpy as np
import typer

from keras_regen.cli.common import (
    DEFAULT_PRESET,
    add_end,
    load_codec,
    load_keras,
    make_console,
    make_table,
)
from keras_regen.cli.options import (
    OUTPUT_HELP,
    MaxMemoryOption,
    OverwriteOption,
    PrecisionOption,
    PresetOption,
    ScheduleOption,
    check_output,
    check_preset,
    output_for,
)
from keras_regen.cli.progress import ProgressBar, tracked
from keras_regen.latents import SUFFIXES, Latents, LatentsWriter
from keras_regen.pixels import show_deviation
from keras_regen.video import VideoReader, VideoWriter

INVERTED = "A file that `keras-regen invert` wrote, .h5."
FirstArgument = Annotated[pathlib.Path, typer.Argument(metavar="A", help=INVERTED)]
SecondArgument = Annotated[
    pathlib.Path, typer.Argument(metavar="B", help="Another, of the same size.")
]
MadePresetOption = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET", help="What decodes. Defaults to the preset that A names."
    ),
]
EditedOption = Annotated[
    pathlib.Path,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="A video, as for decode; or an .h5, to decode later.",
    ),
]
ComparedOption = Annotated[
    pathlib.Path,
    typer.Option("--output", "-o", metavar="OUT", help=OUTPUT_HELP),
]


def invert(
    video: Annotated[
        pathlib.Path, typer.Argument(metavar="IN", help="A video, as for encode.")
    ],
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="An .h5 file. Defaults to <stem of IN>.h5, here.",
        ),
    ] = None,
    preset: PresetOption = DEFAULT_PRESET,
    steps: Annotated[
        int, typer.Option(min=1, help="Sampling steps, as many as decoding will take.")
    ] = 20,
    refinements: Annotated[
        int, typer.Option(min=0, help="Iterations to make each step exact.")
    ] = 2,
    schedule: ScheduleOption = "log_snr",
    precision: PrecisionOption = "float32",
    max_memory: MaxMemoryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Encode a video, and find the noise that re-generates it.

    `decode` gives the video back, nearly exactly, in the same precision. The noise has
    as many values as the video: the file is for edits, and larger than the video.
    """
    check_preset(preset)
    output = output_for(video, ".h5") if output is None else output
    check_output(output, video, overwrite)
    LatentsWriter.check(output)
    console = make_console()
    with VideoReader(video) as reader:
        load_keras(console)
        codec = load_codec(preset, max_memory, precision)
        start = time.perf_counter()
        size = reader.height, reader.width
        with ProgressBar("Inverting", console, reader.num_frames, size=size) as bar:
            codec.invert(
                reader,
                output=output,
                num_steps=steps,
                refinements=refinements,
                schedule=schedule,
                progress=bar,
            )
    summary = make_table()
    summary.add_row("calls", f"{steps * (1 + refinements)} of the decoder for a chunk")
    summary.add_row("file", f"{output.stat().st_size:,} bytes")
    add_end(summary, bar.done, time.perf_counter() - start, output)
    console.print(summary)


def interpolate(
    first: FirstArgument,
    second: SecondArgument,
    output: EditedOption,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="How much of B is in OUT.")
    ] = 0.5,
    preset: MadePresetOption = None,
    max_memory: MaxMemoryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Make a video between two that were inverted."""
    paths, writer = [first, second], _writer_of(output)
    (a, b), console, preset = _load(
        paths, output, writer, preset, max_memory, overwrite
    )
    from keras_regen.editing import interpolate as mix

    _finish(mix(a, b, share), output, console, preset, max_memory)


def edit(
    content: FirstArgument,
    output: EditedOption,
    motion: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="B", help="Take the motion of this file instead of A's."),
    ] = None,
    noise: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="C", help="The noise of this file. Defaults to A's."),
    ] = None,
    random_noise: Annotated[
        bool, typer.Option("--random-noise", help="Decode from random noise.")
    ] = False,
    preset: MadePresetOption = None,
    max_memory: MaxMemoryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Exchange the motion or noise of an inverted video.

    To play it at another speed, with its details, use `decode --speed`.
    """
    if noise is not None and random_noise:
        raise ValueError(
            "Give --noise or --random-noise. "
            f"Received: noise={noise}, random_noise=True"
        )
    paths = [content, motion or content, noise or content]
    writer = _writer_of(output)
    with_noise = () if random_noise else paths[2:]
    latents, console, preset = _load(
        paths, output, writer, preset, max_memory, overwrite, with_noise
    )
    from keras_regen.editing import combine

    of_content, of_motion, of_noise = latents
    edited = combine(of_content, of_motion, None if random_noise else of_noise)
    _finish(edited, output, console, preset, max_memory)


def compare(
    first: FirstArgument,
    second: SecondArgument,
    output: ComparedOption,
    preset: MadePresetOption = None,
    max_memory: MaxMemoryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Show what latents hold and what noise holds.

    From left to right: A, B, A with the noise of B, B with the noise of A, A with
    random noise, and in grey how much each pixel of it depends on the seed: white is a
    standard deviation of 30 levels of 255.
    """
    paths = [first, second]
    (a, b), console, preset = _load(
        paths, output, VideoWriter, preset, max_memory, overwrite, with_noise=paths
    )
    codec = load_codec(preset, max_memory)
    start = time.perf_counter()
    from keras_regen.editing import compare_stream, spread_stream

    count = min(len(a), len(b))
    compared, seeds = compare_stream(codec, a, b), spread_stream(codec, a[:count])
    size = a.height, 6 * a.width
    frames = zip(compared, seeds, a.shown, strict=False)
    frames = tracked(frames, "Comparing", count, console, size=size)
    with (
        VideoWriter(output, a.fps, fractions.Fraction(*a.pixel_aspect)) as writer,
        contextlib.closing(compared),
        contextlib.closing(seeds),
        contextlib.closing(frames),
    ):
        for videos, deviation, shown in frames:
            pictures = [*videos.values(), show_deviation(deviation)]
            writer.write(np.concatenate(pictures, axis=1), *shown)
    summary = make_table()
    summary.add_row("columns", "; ".join([*videos, "spread over seeds"]))
    add_end(summary, count, time.perf_counter() - start, output)
    console.print(summary)


def _writer_of(output):
    """Returns the class that writes edited latents, or their video."""
    return LatentsWriter if output.suffix.lower() in SUFFIXES else VideoWriter


def _load(paths, output, writer, preset, max_memory, overwrite, with_noise=()):
    """Checks arguments, such as that the files `with_noise` have it; loads Keras.

    Returns:
        List of latents; a console; and the preset that decodes them, or None if they
        are not decoded.
    """
    for path in paths:
        check_output(output, path, overwrite)
    writer.check(output)
    latents = [Latents.load(path, lazy=True, max_memory=max_memory) for path in paths]
    for path, item in zip(paths, latents, strict=True):
        if path in with_noise and item.noise is None:
            raise ValueError(
                "The latents have no noise, which `keras-regen invert` finds; `edit` "
                f"needs none with --random-noise. Received: path={path}"
            )
    preset = (preset or latents[0].preset) if writer is VideoWriter else None
    if preset is not None:
        check_preset(preset)
    elif writer is VideoWriter:
        raise ValueError(f"The latents name no preset: give --preset. A={paths[0]}")
    console = make_console()
    load_keras(console)
    return latents, console, preset


def _finish(latents, output, console, preset, max_memory):
    """Writes edited latents, or with a preset the video that they decode to."""
    codec = None if preset is None else load_codec(preset, max_memory)
    start = time.perf_counter()
    if codec is None:
        latents.save(output)
    else:
        size = latents.height, latents.width
        with ProgressBar("Decoding", console, len(latents), size=size) as progress:
            codec.decode(latents, output, progress=progress)
    summary = make_table()
    add_end(summary, len(latents), time.perf_counter() - start, output)
    console.print(summary)
