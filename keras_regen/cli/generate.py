"""The command `generate`."""

import pathlib
import time
from typing import Annotated

import typer

from keras_regen.backend import quiet_start
from keras_regen.cli.common import add_end, load_keras, make_console, make_table
from keras_regen.cli.options import (
    OUTPUT_HELP,
    MaxMemoryOption,
    OverwriteOption,
    PrecisionOption,
    SeedOption,
    check_output,
    check_preset,
    complete_generator,
    free_path,
)
from keras_regen.cli.progress import ProgressBar
from keras_regen.sizes import parse_size
from keras_regen.video import VideoWriter


def generate(
    preset: Annotated[
        str,
        typer.Argument(
            metavar="PRESET",
            help="A generator: a bundled name, a directory or hf://user/name.",
            autocompletion=complete_generator,
        ),
    ],
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="What the video is to show."),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help=f"{OUTPUT_HELP} Defaults to generated.mp4, here, with a number if "
            "there is one.",
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Frames of OUT, those given included. Defaults to the preset's.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Size of OUT, to which what is given is resized and cropped. Defaults "
            "to that of what is given, or the preset's.",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frame rate. Defaults to the video's, or the preset's."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Instead of TEXT, a label that the model was trained on; a number if "
            "its labels have no names."
        ),
    ] = None,
    image: Annotated[
        pathlib.Path | None, typer.Option(help="An image to start with.")
    ] = None,
    video: Annotated[
        pathlib.Path | None, typer.Option(help="A video to go on from.")
    ] = None,
    keyframes: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="A directory of numbered images, each the first frame of a chunk."
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Sampling steps. Defaults to the preset's."),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="How far to follow TEXT: 1 is as trained. Defaults to the preset's.",
        ),
    ] = None,
    time_shift: Annotated[
        float,
        typer.Option(
            help="Above 1, more of the steps are near the noise, for large videos."
        ),
    ] = 1.0,
    seed: SeedOption = 0,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="The codec's preset. Defaults to the one that the generator names.",
        ),
    ] = None,
    decoding_steps: Annotated[
        int, typer.Option(min=1, help="Sampling steps of the codec.")
    ] = 1,
    text_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="Reads any TEXT: a preset of KerasHub, or a directory. Without it, "
            "TEXT must be one that the generator has the embeddings of.",
        ),
    ] = None,
    precision: PrecisionOption = "float32",
    max_memory: MaxMemoryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Generate a video from a text, images or a video."""
    width, height = (None, None) if size is None else parse_size(size)
    if output is None:
        output = pathlib.Path("generated.mp4")
        output = output if overwrite else free_path(output)
    check_output(output, video or image or keyframes, overwrite)
    VideoWriter.check(output)
    check_preset(preset, "generator")
    if codec is not None:
        check_preset(codec)
    console = make_console()
    load_keras(console)
    from keras_regen.generation import VideoGenerator
    from keras_regen.text import KerasHubTextEncoder

    with quiet_start():
        encoder = (
            None
            if text_encoder is None
            else KerasHubTextEncoder.from_preset(text_encoder)
        )
        generator = VideoGenerator.from_preset(
            preset, codec, encoder, precision, max_memory
        )
    start = time.perf_counter()
    with ProgressBar("Generating", console) as progress:
        generator.generate(
            prompt,
            output,
            label=label,
            image=image,
            video=video,
            keyframes=keyframes,
            num_frames=frames,
            height=height,
            width=width,
            fps=fps,
            num_steps=steps,
            guidance=guidance,
            time_shift=time_shift,
            seed=seed,
            decoding_steps=decoding_steps,
            progress=progress,
            callback=progress.show_step,
        )
    seconds = time.perf_counter() - start
    summary = make_table()
    add_end(summary, progress.done, seconds, output)
    console.print(summary)
