"""Functions that the commands share. Importing them does not import Keras.

So the command line can choose the backend first, and report errors in the arguments
before the seconds that importing Keras takes.
"""

import importlib

import rich.box
import rich.console
import rich.progress
import rich.table

import keras_regen
from keras_regen.backend import choose_backend, quiet_start, without_jax

DEFAULT_PRESET = "regen_small_8x8x8"


def make_console():
    """Makes a `rich.console.Console` for standard output.

    It prints text as it is: names of files may look like markup or emoji codes.
    """
    return rich.console.Console(markup=False, emoji=False)


def load_keras(console, preferred=None):
    """Chooses the backend, imports Keras with it and prints its name.

    Args:
        console: `rich.console.Console`.
        preferred: str or None. See `choose_backend`.
    """
    backend = choose_backend(preferred)
    with quiet_start(), without_jax(backend):
        importlib.import_module("keras_regen.codec")
    console.print(f"Backend: {backend}")


def load_preset(preset, dtype=None):
    """Loads the model of a preset, or raises ValueError. Needs `load_keras` first."""
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
    """Makes a `VideoCodec` with a preset. Needs `load_keras` first."""
    from keras_regen.codec import VideoCodec

    return VideoCodec(load_preset(preset), max_memory=max_memory, **kwargs)


class ProgressBar:
    """A progress bar, shown for the length of a `with` block.

    Args:
        label: str. The text before the bar.
        console: a `rich.console.Console`.
        total: int or None. The number of units, if it is known.
        unit: str. The name of a unit. Defaults to `"frames"`.

    Attributes:
        done: int. Units so far.
    """

    def __init__(self, label, console, total=None, unit="frames"):
        self.done = 0
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn(label),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn(unit),
            rich.progress.TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self):
        self._progress.start()
        return self

    def __exit__(self, exception_type, *exception):
        if exception_type is None:
            # The total may have been an estimate.
            self._progress.update(self._task, total=self.done)
        self._progress.stop()

    def __call__(self, done, total):
        """Shows `done` of `total` units; the total may be None."""
        self.done = done
        self._progress.update(self._task, completed=done, total=total)


def tracked(items, label, total, console, unit="frames"):
    """Yields items, with a progress bar that counts them."""
    with ProgressBar(label, console, total, unit) as progress:
        for done, item in enumerate(items, 1):
            yield item
            progress(done, total)


def make_table(title=None, *columns):
    """Makes a plain table; by default with two columns and no headings."""
    result = rich.table.Table(
        title=title,
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        show_header=bool(columns),
    )
    for column in columns or ("", ""):
        # Paths and numbers are copied from tables: fold them, never cut them off.
        result.add_column(column, overflow="fold")
    return result
