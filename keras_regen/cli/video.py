"""The commands that take videos: `reconstruct`, `encode` and `decode`."""

import contextlib
import enum
import pathlib
import time
from typing import Annotated

import numpy as np
import rich.console
import typer

from keras_regen.cli.common import (
    DEFAULT_PRESET,
    load_codec,
    load_keras,
    make_table,
    tracked,
)
from keras_regen.cli.dataset import encode_dataset
from keras_regen.metrics import psnr, ssim
from keras_regen.video import VideoReader, VideoWriter, bundled_clip

MAX_SEED = 2**64 - 1


class LatentsDtype(enum.StrEnum):
    float16 = "float16"
    float32 = "float32"


class ChunkingKind(enum.StrEnum):
    disjoint = "disjoint"
    shared = "shared"


PresetOption = Annotated[
    str, typer.Option(help="A bundled name, a directory or hf://user/name.")
]
InputFpsOption = Annotated[
    float | None,
    typer.Option(help="Frame rate of IN. Defaults to its own, or 25."),
]
PartialOption = Annotated[
    bool, typer.Option("--partial", help="Take the frames before damage in IN.")
]
StepsOption = Annotated[int, typer.Option(min=1, help="Sampling steps.")]
SeedOption = Annotated[
    int, typer.Option(min=0, max=MAX_SEED, help="Seed of the noise.")
]
NoiseScaleOption = Annotated[
    float, typer.Option(min=0, help="Scale of the noise; 1 as in training.")
]
MaxMemoryOption = Annotated[
    str | None,
    typer.Option(help="Beside the weights and the backend, such as 512MB."),
]
INPUT_HELP = "A video file, a directory of numbered images or an .npy file."
OUTPUT_HELP = (
    "An .mp4, .mkv, .webm, .gif or .npy; or a new directory, without a suffix, for "
    "PNG images."
)


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
            help=f"{OUTPUT_HELP} Defaults to <stem of IN>_regen.mp4, here.",
        ),
    ] = None,
    preset: PresetOption = DEFAULT_PRESET,
    steps: StepsOption = 1,
    seed: SeedOption = 0,
    noise_scale: NoiseScaleOption = 1.0,
    input_fps: InputFpsOption = None,
    partial: PartialOption = False,
    max_memory: MaxMemoryOption = None,
):
    """Encode a video, re-generate it and write both side by side, without sound."""
    video = bundled_clip() if video is None else video
    output = pathlib.Path(f"{video.stem}_regen.mp4") if output is None else output
    _check_output(output, video)
    console = rich.console.Console()
    with (
        VideoReader(video, input_fps, partial) as reader,
        VideoWriter(output, reader.fps) as writer,
    ):
        load_keras(console)
        from keras_regen.codec import waiting_frames

        codec = load_codec(preset, max_memory)
        start = time.perf_counter()
        pairs = codec.reconstruct_stream(
            reader, num_steps=steps, seed=seed, noise_scale=noise_scale
        )

        def finish(pair):
            original, decoded = pair
            writer.write(np.concatenate([original, decoded], axis=1))
            return psnr(original, decoded), ssim(original, decoded)

        lag = waiting_frames(reader.height, 2 * reader.width)
        shown = "Re-generating", reader.num_frames, console
        with _in_a_thread(finish, lag, pairs, *shown) as finished:
            scores = [*finished]
        seconds = time.perf_counter() - start
    mean_psnr, mean_ssim = np.mean(scores, axis=0)
    summary = make_table()
    summary.add_row("PSNR", f"{mean_psnr:.2f} dB")
    summary.add_row("SSIM", f"{mean_ssim:.4f}")
    shape = codec.latent_shape(len(scores), reader.height, reader.width)
    summary.add_row("size", _compression(shape, len(scores), reader))
    _finish(summary, len(scores), seconds, output, reader.damage)
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
            "directory, which may hold what was encoded before.",
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Instead of IN: folders, patterns or files, all of them."),
    ] = None,
    shard: Annotated[
        str, typer.Option(help="Of a dataset, which part here, such as 0/4.")
    ] = "0/1",
    preset: PresetOption = DEFAULT_PRESET,
    chunking: Annotated[
        ChunkingKind, typer.Option(help="Whether chunks share a frame.")
    ] = ChunkingKind.disjoint,
    dtype: Annotated[
        LatentsDtype, typer.Option(help="How latents are stored.")
    ] = LatentsDtype.float16,
    input_fps: InputFpsOption = None,
    partial: PartialOption = False,
    max_memory: MaxMemoryOption = None,
):
    """Encode a video to a file of latents, or a dataset to a directory of them."""
    if dataset:
        if video is not None or output is None or input_fps or partial:
            raise ValueError(
                "A dataset is encoded with --dataset DIR -o OUT, and neither IN, "
                f"--input-fps nor --partial. Received: IN={video}, OUT={output}"
            )
        options = {"chunking": str(chunking)}
        encode_dataset(dataset, output, preset, str(dtype), shard, max_memory, options)
        return
    if video is None:
        raise ValueError("There must be a video or --dataset DIR. Received: neither")
    output = pathlib.Path(f"{video.stem}.h5") if output is None else output
    _check_output(output, video)
    console = rich.console.Console()
    with VideoReader(video, input_fps, partial) as reader:
        load_keras(console)
        from keras_regen.latents import LatentsWriter

        codec = load_codec(preset, max_memory, chunking=str(chunking))

        start = time.perf_counter()
        pieces = codec.encode_stream(reader)

        def write(piece):
            writer.write(piece)
            return len(piece)

        shown = "Encoding", reader.num_frames, console
        with (
            LatentsWriter(output, str(dtype)) as writer,
            _in_a_thread(write, 1, pieces, *shown, size=len) as written,
        ):
            frames = sum(written)
        seconds = time.perf_counter() - start
    summary = make_table()
    shape = codec.latent_shape(frames, reader.height, reader.width)
    summary.add_row("latents", " x ".join(map(str, shape)))
    summary.add_row("size", _compression(shape, frames, reader))
    summary.add_row("file", f"{output.stat().st_size:,} bytes")
    _finish(summary, frames, seconds, output, reader.damage)
    console.print(summary)


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
        float, typer.Option(min=0, help="Where to begin, in seconds.")
    ] = 0.0,
    end: Annotated[float | None, typer.Option(help="Where to end, in seconds.")] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frame rate of OUT, at the same speed. Defaults to IN's."),
    ] = None,
    speed: Annotated[
        float, typer.Option(help="0.25 is four times slower, with frames in between.")
    ] = 1.0,
    preset: Annotated[
        str | None,
        typer.Option(help="As for encode. Defaults to the one that IN names."),
    ] = None,
    steps: StepsOption = 1,
    seed: SeedOption = 0,
    noise_scale: NoiseScaleOption = 1.0,
    max_memory: MaxMemoryOption = None,
):
    """Decode a file of latents to a video."""
    output = pathlib.Path(f"{latents.stem}.mp4") if output is None else output
    _check_output(output, latents)
    console = rich.console.Console()
    load_keras(console)
    from keras_regen.codec import waiting_frames
    from keras_regen.latents import Latents

    stored = Latents.load(latents, lazy=True)
    stored = stored[_frames_between(stored, start, end)]
    if preset is None and stored.preset is None:
        raise ValueError(f"The latents name no preset: give --preset. IN={latents}")
    rate = stored.fps if fps is None else fps
    with VideoWriter(output, rate) as writer:
        codec = load_codec(preset or stored.preset, max_memory)
        begun = time.perf_counter()
        stream = codec.decode_stream(
            stored,
            fps=rate,
            speed=speed,
            num_steps=steps,
            seed=seed,
            noise_scale=noise_scale,
        )
        total = round(len(stored) * rate / (speed * stored.fps))
        lag = waiting_frames(stored.height, stored.width)
        shown = "Decoding", total, console
        with _in_a_thread(writer.write, lag, stream, *shown) as written:
            frames = sum(1 for _ in written)
        seconds = time.perf_counter() - begun
    summary = make_table()
    _finish(summary, frames, seconds, output)
    console.print(summary)


@contextlib.contextmanager
def _in_a_thread(function, lag, stream, label, total, console, size=lambda item: 1):
    """Calls a function with all of a stream, which a progress bar follows.

    A context with the iterator of what the function returns; when it ends, so have the
    thread and the stream.
    """
    from keras_regen.codec import map_in_thread

    sized = ((size(item), item) for item in stream)
    with (
        contextlib.closing(stream),
        contextlib.closing(tracked(sized, label, total, console)) as items,
        contextlib.closing(map_in_thread(function, items, lag)) as results,
    ):
        yield results


def _check_output(output, source):
    if output.exists() and source.exists() and output.samefile(source):
        raise ValueError(f"OUT must not be IN. Received: OUT={output}")


def _frames_between(latents, start, end):
    """The frames from and to a time in seconds, as a slice."""
    first = round(start * latents.fps)
    last = len(latents) if end is None else round(end * latents.fps)
    if not first < min(last, len(latents)):
        raise ValueError(
            f"The video lasts {latents.duration:.3f} seconds. "
            f"Received: start={start}, end={end}"
        )
    return slice(first, last)


def _compression(shape, num_frames, reader):
    values, pixels = int(np.prod(shape)), num_frames * reader.height * reader.width * 3
    return (
        f"{values:,} latent values for {pixels:,} pixel values, "
        f"1 : {pixels / values:.1f}"
    )


def _finish(summary, frames, seconds, output, damage=None):
    """Adds the rows that end every summary."""
    summary.add_row("time", f"{seconds:.1f} s, {frames / seconds:.1f} frames/s")
    summary.add_row("output", str(output))
    if damage:
        summary.add_row(
            "damage", f"IN is not whole, {frames} frames were read: {damage}"
        )
