"""The command line: `keras-regen`."""

import pathlib
import sys
import time
from typing import Annotated

import numpy as np
import rich.box
import rich.console
import rich.progress
import rich.table
import typer
from typer.exceptions import TyperException

import keras_regen
from keras_regen.backend import choose_backend, quiet_start
from keras_regen.data import VideoReader, VideoWriter, bundled_clip
from keras_regen.metrics import psnr, ssim

# Nothing above imports Keras: its backend is chosen first, and errors in the arguments
# are told before the seconds that its import takes.

DEFAULT_PRESET = "regen_tiny_8x8x8"
USER_ERROR = 2
# The temporal compressions that `info` counts parameters for.
COMPRESSIONS = (4, 8, 16, 32)

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


def main(arguments=None):
    """Runs the command line and exits.

    Args:
        arguments: list of str or None. Defaults to those of the process.

    Raises:
        SystemExit: always. Status 0 when all went well, 2 for an error in what was
            asked for, told in one line on stderr, and 130 after Ctrl-C.
    """
    try:
        status = app(arguments, prog_name="keras-regen", standalone_mode=False)
    except TyperException as error:
        _fail(error.format_message())
    except (ValueError, OSError, ImportError) as error:
        _fail(str(error))
    sys.exit(status)


@app.callback(invoke_without_command=True)
def _keras_regen(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.")
    ] = False,
):
    """REGEN: a compact video embedder with a generative decoder."""
    if version:
        print(f"keras-regen {keras_regen.__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def reconstruct(
    video: Annotated[
        pathlib.Path | None,
        typer.Argument(metavar="IN", help="A video. Defaults to the bundled clip."),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="An .mp4, .mkv or .gif. Defaults to <stem of IN>_regen.mp4, here.",
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="A bundled name, a directory or hf://user/name.")
    ] = DEFAULT_PRESET,
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps.")] = 1,
    seed: Annotated[
        int, typer.Option(min=0, max=2**64 - 1, help="Seed of the noise.")
    ] = 0,
):
    """Encode a video, re-generate it and write both side by side, without sound."""
    video = bundled_clip() if video is None else video
    output = pathlib.Path(f"{video.stem}_regen.mp4") if output is None else output
    if output.exists() and video.exists() and output.samefile(video):
        raise ValueError(f"OUT must not be IN. Received: OUT={output}")
    console = rich.console.Console()
    with VideoReader(video) as reader, VideoWriter(output, reader.fps) as writer:
        regen = _load_regen(preset, console)
        start = time.perf_counter()
        scores = _reconstruct(regen, reader, writer, steps, seed, console)
        seconds = time.perf_counter() - start
    console.print(_summary(regen, reader, scores, seconds, output))


@app.command()
def info(
    preset: Annotated[
        str | None,
        typer.Argument(help="A bundled name, a directory or hf://user/name."),
    ] = None,
):
    """Show a preset or, without PRESET, the bundled ones and the architectures."""
    console = rich.console.Console()
    # Keras asks after TensorFlow, where it is installed, even to name its layers.
    with quiet_start():
        tables = list(
            _overview(console) if preset is None else _preset_tables(preset, console)
        )
    for table in tables:
        console.print(table)


# === Reconstruct ===


def _load_keras(console):
    """Imports Keras with the backend of choice."""
    backend = choose_backend()
    with quiet_start():
        import keras_regen.models
    console.print(f"Backend: {backend}")
    return keras_regen.models


def _load_regen(preset, console):
    models = _load_keras(console)
    try:
        with quiet_start():
            return models.Regen.from_preset(preset)
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"The preset {preset} is not one that keras-regen "
            f"{keras_regen.__version__} can load: {error}"
        ) from error


def _reconstruct(regen, reader, writer, steps, seed, console):
    """Writes the pairs of frames; returns the scores, `(frames, 2)`: PSNR, SSIM."""
    from keras_regen.codec import reconstruct_frames

    scores = []
    columns = (
        rich.progress.TextColumn("Re-generating"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("frames"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=reader.num_frames)
        for original, regenerated in reconstruct_frames(regen, reader, steps, seed):
            writer.write(np.concatenate([original, regenerated], axis=1))
            scores.append((psnr(original, regenerated), ssim(original, regenerated)))
            progress.advance(task)
        # The container's number of frames may have been an estimate.
        progress.update(task, total=len(scores))
    return np.array(scores)


def _summary(regen, reader, scores, seconds, output):
    from keras_regen.codec import compression

    frames = len(scores)
    mean_psnr, mean_ssim = scores.mean(axis=0)
    values = compression(regen, frames, reader.height, reader.width)
    table = _table()
    table.add_row("PSNR", f"{mean_psnr:.2f} dB")
    table.add_row("SSIM", f"{mean_ssim:.4f}")
    table.add_row(
        "size",
        f"{values.latent_values:,} latent values for {values.pixel_values:,} pixel "
        f"values, 1 : {values.ratio:.1f}",
    )
    table.add_row("time", f"{seconds:.1f} s, {frames / seconds:.1f} frames/s")
    table.add_row("output", str(output))
    return table


# === Info ===


def _overview(console):
    models = _load_keras(console)
    presets = _table("Bundled presets", "preset", "description")
    for name in models.bundled_presets():
        metadata = models.preset_metadata(name)
        presets.add_row(name, str(metadata.get("description", "")))
    yield presets
    architectures = _table("Architectures", "name", "encoder", "decoder")
    for name, parts in models.ARCHITECTURES.items():
        architectures.add_row(name, _text(parts["encoder"]), _text(parts["decoder"]))
    yield architectures
    parameters = _table(
        "Parameters in millions, encoder + decoder",
        "name",
        *[f"k = {k}" for k in COMPRESSIONS],
    )
    for name in models.ARCHITECTURES:
        counts = [models.count_parameters(name, k) for k in COMPRESSIONS]
        parameters.add_row(name, *[f"{e / 1e6:.1f} + {d / 1e6:.1f}" for e, d in counts])
    yield parameters


def _preset_tables(preset, console):
    regen = _load_regen(preset, console)
    table = _table(f"Preset {preset}")
    table.add_row("temporal compression, k", str(regen.temporal_compression))
    table.add_row("latent channels", str(regen.encoder.latent_channels))
    for name in ("encoder", "decoder"):
        part = getattr(regen, name)
        table.add_row(f"{name} parameters", f"{part.count_params():,}")
        table.add_row(name, _text(_own_config(part)))
    for name in ("diffusion_path", "prediction", "weighting", "time_distribution"):
        part = getattr(regen, name)
        config = _text(part.get_config())
        table.add_row(
            name.replace("_", " "),
            type(part).__name__ + (f" ({config})" if config else ""),
        )
    yield table
    metadata = keras_regen.models.preset_metadata(preset)
    scores = metadata.pop("scores", None)
    if metadata:
        table = _table("Metadata")
        for name, value in metadata.items():
            table.add_row(name.replace("_", " "), _text(value))
        yield table
    if scores:
        yield _score_table(scores)


def _own_config(part):
    """The arguments that make the part what it is."""
    shared = {"name", "trainable", "dtype", "temporal_compression", "latent_channels"}
    return {k: v for k, v in part.get_config().items() if k not in shared}


def _score_table(scores):
    """A row for each clip and a column for each method, from a dict of dicts."""
    columns = list(dict.fromkeys(column for row in scores.values() for column in row))
    cells = [row[c] for row in scores.values() for c in columns if c in row]
    metrics = next((", ".join(cell) for cell in cells if isinstance(cell, dict)), "")
    headings = [column.replace("_", " ") for column in columns]
    table = _table(f"Scores: {metrics}", "clip", *headings)
    for clip, row in scores.items():
        values = [row.get(column, "") for column in columns]
        table.add_row(
            clip,
            *[_text(list(v.values()) if isinstance(v, dict) else v) for v in values],
        )
    return table


def _text(value):
    """A value of JSON in words, numbers short."""
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(
            f"({_text(v)})" if isinstance(v, list | tuple) else _text(v) for v in value
        )
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(title=None, *columns):
    table = rich.table.Table(
        title=title,
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        show_header=bool(columns),
    )
    for column in columns or ("", ""):
        # Paths and numbers are to be copied: fold them, never cut them off.
        table.add_column(column, overflow="fold")
    return table


def _fail(message):
    print(f"keras-regen: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(USER_ERROR)


if __name__ == "__main__":
    main()
