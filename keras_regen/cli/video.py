"""The commands `reconstruct` and `encode`."""

import contextlib
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
from keras_regen.cli.latent_dataset import encode_dataset
from keras_regen.cli.options import (
    OUTPUT_HELP,
    MaxMemoryOption,
    NoiseScaleOption,
    OverwriteOption,
    PrecisionOption,
    PresetOption,
    ScheduleOption,
    SeedOption,
    StepsOption,
    check_output,
    check_preset,
    free_path,
    output_for,
)
from keras_regen.cli.progress import ProgressBar, tracked
from keras_regen.latents import LatentsWriter
from keras_regen.metrics import psnr, ssim
from keras_regen.types import Chunking, LatentsDtype
from keras_regen.video import (
    VideoReader,
    VideoWriter,
    bundled_clip,
    warn_without_sound,
)

InputFpsOption = Annotated[
    float | None,
    typer.Option(help="Frame rate of IN. Defaults to its own, or 25."),
]
PartialOption = Annotated[
    bool, typer.Option("--partial", help="Take the frames before any damage in IN.")
]
INPUT_HELP = "A video file, a directory of numbered images or an .npy file."


def reconstruct(
    video: Annotated[
        pathlib.Path | None,
        typer.Argument(
            metavar="IN", help=f"{INPUT_HELP} Defaults to the bundled clip."
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help=f"{OUTPUT_HELP} Defaults to <stem of IN>_regen.mp4, here, with a "
            "number if there is one.",
        ),
    ] = None,
    preset: PresetOption = DEFAULT_PRESET,
    steps: StepsOption = 1,
    seed: SeedOption = 0,
    noise_scale: NoiseScaleOption = 1.0,
    schedule: ScheduleOption = "log_snr",
    input_fps: InputFpsOption = None,
    partial: PartialOption = False,
    precision: PrecisionOption = "float32",
    max_memory: MaxMemoryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Encode and decode a video; write both side by side.

    OUT has the sound of IN, and its frames are shown at their times.
    """
    video = bundled_clip() if video is None else video
    if output is None:
        output = output_for(video, "_regen.mp4")
        output = output if overwrite else free_path(output)
    check_output(output, video, overwrite)
    check_preset(preset)
    console = make_console()
    with (
        VideoReader(video, input_fps, partial) as reader,
        VideoWriter(
            output, reader.fps, reader.pixel_aspect, _sound(reader, input_fps)
        ) as writer,
    ):
        load_keras(console)
        from keras_regen.codec import map_in_thread, waiting_frames

        codec = load_codec(preset, max_memory, precision)
        start = time.perf_counter()
        pairs = codec.reconstruct_stream(
            reader,
            num_steps=steps,
            seed=seed,
            noise_scale=noise_scale,
            schedule=schedule,
        )

        def write(numbered):
            number, (original, decoded) = numbered
            both = np.concatenate([original, decoded], axis=1)
            writer.write(both, *reader.shown_at(number))
            return psnr(original, decoded), ssim(original, decoded)

        size = reader.height, reader.width
        shown = tracked(pairs, "Re-generating", reader.num_frames, console, size=size)
        lag = waiting_frames(reader.height, 2 * reader.width)
        with (
            contextlib.closing(pairs),
            contextlib.closing(shown),
            contextlib.closing(map_in_thread(write, enumerate(shown), lag)) as written,
        ):
            scores = [*written]
        seconds = time.perf_counter() - start
    mean_psnr, mean_ssim = np.mean(scores, axis=0)
    summary = make_table()
    summary.add_row("PSNR", f"{mean_psnr:.2f} dB")
    summary.add_row("SSIM", f"{mean_ssim:.4f}")
    shape = codec.latent_shape(len(scores), reader.height, reader.width)
    summary.add_row("size", _compression(shape, len(scores), reader))
    add_end(summary, len(scores), seconds, output, reader.damage)
    console.print(summary)


def encode(
    video: Annotated[
        pathlib.Path | None, typer.Argument(metavar="IN", help=INPUT_HELP)
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="An .h5 file. Defaults to <stem of IN>.h5, here. For a dataset, a "
            "directory; files that are there are not encoded again.",
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="Folders, patterns or files to encode, instead of IN; or a .csv, of "
            "which columns `text` and `label` go to the index."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="The part of a dataset: 0/4 is the first of four. The last one to end "
            "writes the index. Defaults to the whole."
        ),
    ] = None,
    text_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="Embeds the texts of a dataset: a preset of KerasHub, or a directory.",
        ),
    ] = None,
    index: Annotated[
        bool,
        typer.Option(
            "--index", help="Encode nothing: only write the index of a dataset."
        ),
    ] = False,
    ray: Annotated[
        int | None,
        typer.Option(
            metavar="ACTORS",
            min=1,
            help="Encode a dataset with so many actors of Ray, each with a GPU if Ray "
            "knows of any.",
        ),
    ] = None,
    preset: PresetOption = DEFAULT_PRESET,
    chunking: Annotated[
        Chunking, typer.Option(help="Whether neighbouring chunks share a frame.")
    ] = "disjoint",
    dtype: Annotated[
        LatentsDtype, typer.Option(help="How latents are stored.")
    ] = "float16",
    input_fps: InputFpsOption = None,
    partial: PartialOption = False,
    precision: PrecisionOption = "float32",
    max_memory: MaxMemoryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Encode a video, or many, to latents.

    A video becomes a file of latents, and a dataset a directory of them.
    """
    check_preset(preset)
    if dataset:
        if video is not None or output is None or input_fps or partial or overwrite:
            raise ValueError(
                "A dataset is encoded with --dataset DIR -o OUT, and neither IN, "
                "--input-fps, --partial nor --overwrite. "
                f"Received: IN={video}, OUT={output}"
            )
        encode_dataset(
            dataset,
            output,
            preset,
            precision,
            dtype,
            shard or "0/1",
            max_memory,
            chunking,
            text_encoder,
            index,
            ray,
        )
        return
    if index or any(option is not None for option in (shard, text_encoder, ray)):
        raise ValueError(
            "--shard, --text-encoder, --index and --ray are for a --dataset. Received: "
            f"shard={shard}, text_encoder={text_encoder}, index={index}, ray={ray}"
        )
    if video is None:
        raise ValueError("There must be a video or --dataset DIR. Received: neither")
    output = output_for(video, ".h5") if output is None else output
    check_output(output, video, overwrite)
    LatentsWriter.check(output)
    console = make_console()
    with VideoReader(video, input_fps, partial) as reader:
        load_keras(console)
        codec = load_codec(preset, max_memory, precision, chunking=chunking)
        start = time.perf_counter()
        size = reader.height, reader.width
        with ProgressBar("Encoding", console, reader.num_frames, size=size) as progress:
            codec.encode(reader, output, progress=progress, dtype=dtype)
        frames = progress.done
        seconds = time.perf_counter() - start
    summary = make_table()
    shape = codec.latent_shape(frames, reader.height, reader.width)
    summary.add_row("latents", " x ".join(map(str, shape)))
    summary.add_row("size", _compression(shape, frames, reader))
    summary.add_row("file", f"{output.stat().st_size:,} bytes")
    add_end(summary, frames, seconds, output, reader.damage)
    console.print(summary)


def _sound(reader, input_fps):
    """Returns the `Sound` of a video, or None if it has none or is played faster."""
    sound = reader.sound()
    if sound and input_fps:
        sound.close()
        warn_without_sound(f"it would not be in step, since --input-fps is {input_fps}")
        return None
    return sound


def _compression(shape, num_frames, reader):
    """Returns the numbers of latent and pixel values, and their ratio, in words."""
    values, pixels = int(np.prod(shape)), num_frames * reader.height * reader.width * 3
    return (
        f"{values:,} latent values for {pixels:,} pixel values, "
        f"1 : {pixels / values:.1f}"
    )
