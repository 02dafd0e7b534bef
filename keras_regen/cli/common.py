"""What the commands share. Importing it does not import Keras.

The backend is chosen first, and errors in the arguments are told before the seconds
that the import takes.
"""

import importlib

import rich.box
import rich.progress
import rich.table

import keras_regen
from keras_regen.backend import alone, choose_backend, quiet_start

DEFAULT_PRESET = "regen_tiny_8x8x8"


def load_keras(console):
    """Imports Keras with the backend of choice."""
    backend = choose_backend()
    with quiet_start(), alone(backend):
        importlib.import_module("keras_regen.codec")
    console.print(f"Backend: {backend}")


def load_regen(preset, dtype=None):
    """Loads a preset, once Keras is, or raises ValueError."""
    from keras_regen.models import load_model

    try:
        with quiet_start():
            return load_model(preset, dtype=dtype)
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"The preset {preset} is not one that keras-regen "
            f"{keras_regen.__version__} can load: {error}"
        ) from error


def load_codec(preset, max_memory, **kwargs):
    """A `VideoCodec` with a preset, once Keras is loaded."""
    from keras_regen.codec import VideoCodec

    return VideoCodec(load_regen(preset), max_memory=max_memory, **kwargs)


def tracked(items, label, total, console, unit="frames"):
    """Iterates over pairs of a number of units and an item, behind a progress bar."""
    columns = (
        rich.progress.TextColumn(label),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn(unit),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as progress:
        task, done = progress.add_task("", total=total), 0
        for count, item in items:
            yield item
            done += count
            progress.update(task, completed=done)
        # The container's number of frames may have been an estimate.
        progress.update(task, total=done)


def make_table(title=None, *columns):
    """A plain table; two columns without headings by default."""
    result = rich.table.Table(
        title=title,
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        show_header=bool(columns),
    )
    for column in columns or ("", ""):
        # Paths and numbers are to be copied: fold them, never cut them off.
        result.add_column(column, overflow="fold")
    return result
