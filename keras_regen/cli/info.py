"""The command `info`."""

import inspect
from typing import Annotated

import typer

from keras_regen.cli.common import load_keras, load_preset, make_console, make_table
from keras_regen.cli.options import check_preset, complete_preset
from keras_regen.latents import SUFFIXES, Latents

# Temporal compressions for which parameters are counted.
COMPRESSIONS = (4, 8, 16, 32)


def info(
    preset: Annotated[
        str | None,
        typer.Argument(
            metavar="PRESET",
            help="A bundled name, a directory, hf://user/name or a file of latents.",
            autocompletion=complete_preset,
        ),
    ] = None,
) -> None:
    """Show a preset or latents; by default what is bundled."""
    console = make_console()
    if preset and preset.lower().endswith(SUFFIXES):
        # Latents are read without Keras, whose import takes seconds.
        tables = _latents_table(preset)
    else:
        if preset is not None:
            check_preset(preset, kind=None)
        load_keras(console)
        tables = _overview() if preset is None else _preset_tables(preset)
    for table in list(tables):
        console.print(table)


def _overview():
    from keras_regen import models

    titles = {"codec": "Bundled presets", "generator": "Bundled generators"}
    for kind, title in titles.items():
        presets = make_table(title, "preset", "description")
        for name in models.bundled_presets(kind):
            metadata = models.preset_metadata(name)
            presets.add_row(name, str(metadata.get("description", "")))
        if presets.row_count:
            yield presets
    architectures = make_table("Architectures", "name", "encoder", "decoder")
    for name, parts in models.ARCHITECTURES.items():
        architectures.add_row(name, _text(parts["encoder"]), _text(parts["decoder"]))
    yield architectures
    parameters = make_table(
        "Parameters in millions, encoder + decoder",
        "name",
        *[f"k = {k}" for k in COMPRESSIONS],
    )
    for name in models.ARCHITECTURES:
        counts = [models.count_parameters(name, k) for k in COMPRESSIONS]
        parameters.add_row(name, *[f"{e / 1e6:.1f} + {d / 1e6:.1f}" for e, d in counts])
    yield parameters


def _latents_table(path):
    latents = Latents.load(path, lazy=True)
    table = make_table(f"Latents {path}")
    table.add_row("shape", " x ".join(map(str, latents.array.shape)))
    table.add_row("stored as", str(latents.array.dtype))
    for name, value in latents.header.items():
        table.add_row(name.replace("_", " "), _text(value))
    if not latents.is_constant_rate:
        table.add_row("frame rate", "variable; fps is its mean")
    table.add_row("duration", f"{latents.duration:.3f} s")
    table.add_row("content hash", latents.content_hash)
    yield table


def _preset_tables(preset):
    from keras_regen.models import preset_kind, preset_metadata

    model = load_preset(preset, kind=preset_kind(preset))
    parts = ("encoder", "decoder", "transformer")
    parts = {name: getattr(model, name) for name in parts if hasattr(model, name)}
    table = make_table(f"Preset {preset}")
    table.add_row("temporal compression, k", str(model.temporal_compression))
    first = next(iter(parts.values()))
    table.add_row("latent channels", str(first.latent_channels))
    for name, part in parts.items():
        table.add_row(f"{name} parameters", f"{part.count_params():,}")
        table.add_row(name, _text(_own_config(part)))
    diffusion = ("diffusion_path", "prediction", "weighting", "time_distribution")
    for name in diffusion:
        if not hasattr(model, name):
            continue
        part = getattr(model, name)
        config = _text(part.get_config())
        table.add_row(
            name.replace("_", " "),
            type(part).__name__ + (f" ({config})" if config else ""),
        )
    metadata = preset_metadata(preset)
    if digest := metadata.pop("weights_sha256", None):
        table.add_row("weights SHA-256", digest)
    yield table
    scores = metadata.get("scores")
    # Users write metadata of their own.
    is_table = isinstance(scores, dict) and all(
        isinstance(row, dict) for row in scores.values()
    )
    if is_table:
        del metadata["scores"]
    if metadata:
        table = make_table("Metadata")
        for name, value in metadata.items():
            table.add_row(name.replace("_", " "), _text(value))
        yield table
    if is_table and scores:
        yield _score_table(scores)


def _own_config(part):
    """Returns the arguments of a part that the other part does not share."""
    shared = {"name", "trainable", "dtype", "temporal_compression", "latent_channels"}
    names = inspect.signature(type(part)).parameters
    # Not `get_config`: for it Keras imports TensorFlow where it is installed.
    return {name: getattr(part, name) for name in names if name not in shared}


def _score_table(scores):
    """Makes a row for each clip and a column for each method, of a dict of dicts."""
    columns = list(dict.fromkeys(column for row in scores.values() for column in row))
    cells = [row[c] for row in scores.values() for c in columns if c in row]
    metrics = next((", ".join(cell) for cell in cells if isinstance(cell, dict)), "")
    headings = [column.replace("_", " ") for column in columns]
    table = make_table(f"Scores: {metrics}", "clip", *headings)
    for clip, row in scores.items():
        values = [row.get(column, "") for column in columns]
        table.add_row(
            clip,
            *[_text(list(v.values()) if isinstance(v, dict) else v) for v in values],
        )
    return table


def _text(value):
    """Returns a JSON value in words, with short numbers."""
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(
            f"({_text(v)})" if isinstance(v, list | tuple) else _text(v) for v in value
        )
    return f"{value:.4g}" if isinstance(value, float) else str(value)
