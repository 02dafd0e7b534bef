"""The command `decode`."""

import logging
import math
import pathlib
import time
from typing import Annotated

import numpy as np
import typer

from keras_regen.checks import FPS_RANGE, check_real
from keras_regen.cli.common import (
    add_end,
    load_codec,
    load_keras,
    make_console,
    make_table,
)
from keras_regen.cli.options import (
    OUTPUT_HELP,
    MaxMemoryOption,
    NoiseScaleOption,
    OverwriteOption,
    PrecisionOption,
    ScheduleOption,
    SeedOption,
    check_output,
    check_preset,
    complete_preset,
    output_for,
)
from keras_regen.cli.progress import ProgressBar
from keras_regen.latents import Latents
from keras_regen.video import Sound, VideoWriter

# More generated frames than this for each of IN are a surprise.
MAX_GENERATED = 4
logger = logging.getLogger("keras_regen")


def decode(
    latents: Annotated[
        pathlib.Path, typer.Argument(metavar="IN", help="A file of latents, .h5.")
    ],
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help=f"{OUTPUT_HELP} Defaults to <stem of IN>.mp4, here.",
        ),
    ] = None,
    start: Annotated[
        float, typer.Option(min=0, help="Where to start, in seconds.")
    ] = 0.0,
    end: Annotated[float | None, typer.Option(help="Where to end, in seconds.")] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frame rate of OUT, at the same speed; above IN's, frames in between "
            f"are generated, with a warning if more than {MAX_GENERATED} for each of "
            "IN's. Defaults to IN's."
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option(help="0.25 is four times slower, with frames in between.")
    ] = 1.0,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="As for encode. Defaults to the preset that IN names.",
            autocompletion=complete_preset,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Sampling steps. Defaults to 1, or those of the noise in IN."
        ),
    ] = None,
    seed: SeedOption = 0,
    noise_scale: NoiseScaleOption = 1.0,
    schedule: ScheduleOption = "log_snr",
    audio_from: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE", help="The video that was encoded, to copy its sound."
        ),
    ] = None,
    precision: PrecisionOption = "float32",
    max_memory: MaxMemoryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Decode a file of latents to a video."""
    for name, value in (("fps", fps), ("speed", speed)):
        if value is not None:
            check_real(*FPS_RANGE, **{name: value})
    output = output_for(latents, ".mp4") if output is None else output
    for source in (latents, audio_from):
        check_output(output, source, overwrite)
    VideoWriter.check(output)
    if audio_from is not None:
        # Before the seconds that loading a preset takes.
        Sound(audio_from).close()
    stored = Latents.load(latents, lazy=True, max_memory=max_memory)
    stored = stored[_frames_between(stored, start, end)]
    if preset is None and stored.preset is None:
        raise ValueError(f"The latents name no preset: give --preset. IN={latents}")
    check_preset(preset or stored.preset)
    _warn_of_generated(fps, stored.fps)
    console = make_console()
    load_keras(console)
    codec = load_codec(preset or stored.preset, max_memory, precision)
    begin = time.perf_counter()
    size = stored.height, stored.width
    with ProgressBar("Decoding", console, size=size) as progress:
        codec.decode(
            stored,
            output,
            fps=fps,
            speed=speed,
            num_steps=steps,
            seed=seed,
            noise_scale=noise_scale,
            schedule=schedule,
            progress=progress,
            audio_from=audio_from,
        )
    seconds = time.perf_counter() - begin
    summary = make_table()
    add_end(summary, progress.done, seconds, output)
    console.print(summary)


def _warn_of_generated(fps, own_fps):
    """Warns of a frame rate that means far more frames than IN has.

    Who asks for slow motion by `--speed` wants them.
    """
    if fps and MAX_GENERATED * own_fps < fps:
        logger.warning(
            "IN has %.3g frames/s: with --fps %.3g, %.3g frames are decoded for each, "
            "which takes as much longer.",
            own_fps,
            fps,
            fps / own_fps,
        )


def _frames_between(latents, start, end):
    """Returns the frames between two times in seconds, as a slice."""
    times = (start, latents.duration if end is None else end)
    if any(map(math.isnan, times)):
        first = last = 0
    else:
        first, last = (_frame_at(latents, time) for time in times)
    if not first < last:
        raise ValueError(
            f"The video lasts {latents.duration:.3f} seconds. "
            f"Received: start={start}, end={end}"
        )
    return slice(first, last)


def _frame_at(latents, time):
    """Returns the number of the frame that starts closest to a time in seconds."""
    if latents.is_constant_rate:
        # Infinity is not a whole number.
        return round(min(max(time * latents.fps, 0), len(latents)))
    starts = latents.frame_times - latents.frame_times[0]
    after = min(int(np.searchsorted(starts, time)), len(latents))
    before = max(0, after - 1)
    return before if time - starts[before] < starts[after] - time else after
