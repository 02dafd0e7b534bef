"""Functions that the commands share. Importing them does not import Keras.

So the command line can choose the backend first, and report errors in the arguments
before the seconds that importing Keras takes.
"""

import importlib

import rich.box
import rich.cells
import rich.console
import rich.table

import keras_regen
from keras_regen.backend import choose_backend, quiet_start, without_jax

DEFAULT_PRESET = "regen_small_8x8x8"
# Longer words are paths and hashes, which are folded.
MAX_WORD = 32


def make_console():
    """Makes a `rich.console.Console` for standard output.

    It prints text as it is: names of files may look like markup or emoji codes.
    """
    return rich.console.Console(markup=False, emoji=False)


def load_keras(console, preferred=None):
    """Chooses the backend, imports Keras with it and prints its name and device.

    Args:
        console: `rich.console.Console`; or None to print nothing, as for a training on
            several machines, which JAX must connect before it looks for devices.
        preferred: str or None. See `choose_backend`.
    """
    backend = choose_backend(preferred)
    with quiet_start(), without_jax(backend):
        importlib.import_module("keras_regen.codec")
    if console is not None:
        with quiet_start():
            device = importlib.import_module("keras_regen.hardware").device()
        console.print(f"Backend: {backend}, on {device}")


def load_preset(preset, dtype=None, kind="codec"):
    """Loads the model of a preset, or raises ValueError. Needs `load_keras` first."""
    if kind == "generator":
        from keras_regen.generation import LatentDiffusion

        load = LatentDiffusion.from_preset
    else:
        from keras_regen.models import load_model as load

    try:
        with quiet_start():
            return load(preset, dtype=dtype)
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"The preset {preset} is not one that keras-regen "
            f"{keras_regen.__version__} can load: {error}"
        ) from error


def load_codec(preset, max_memory, precision="float32", **kwargs):
    """Makes a `VideoCodec` with a preset. Needs `load_keras` first."""
    from keras_regen.codec import VideoCodec

    model = load_preset(preset, precision)
    return VideoCodec(model, max_memory=max_memory, **kwargs)


def make_table(title=None, *columns):
    """Makes a plain table; by default with two columns and no headings."""
    result = _WholeWords(
        title=title,
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        show_header=bool(columns),
    )
    for column in columns or ("", ""):
        # Paths and numbers are copied from tables: fold them, never cut them off.
        result.add_column(column, overflow="fold")
    return result


def add_end(summary, frames, seconds, output, damage=None):
    """Adds the last rows of a summary: time, output, and what was damaged."""
    summary.add_row("time", f"{seconds:.1f} s, {frames / seconds:.1f} frames/s")
    summary.add_row("output", str(output))
    if damage:
        summary.add_row("damage", f"{frames} frames were read: {damage}")


class _WholeWords(rich.table.Table):
    """A table that breaks short words only where there is no room for them.

    Rich narrows the widest columns first, and breaks the words in the others too.
    """

    def __rich_console__(self, console, options):
        cells = [[column.header, *column.cells] for column in self.columns]
        texts = [[str(cell) for cell in column] for column in cells]
        lines = [_longest(text.splitlines() for text in column) for column in texts]
        words = [_longest(text.split() for text in column) for column in texts]
        words = [min(word, MAX_WORD) for word in words]
        # A column is followed by a space, and has one on each side.
        room = options.max_width - 3 * len(texts) - 1
        while sum(words) > max(room, len(words)):
            words[words.index(max(words))] -= 1
        widths = words
        by_need = sorted(range(len(words)), key=lambda i: lines[i] - words[i])
        for n, i in enumerate(by_need):
            share = (room - sum(widths)) // (len(words) - n)
            widths[i] += max(0, min(lines[i] - widths[i], share))
        for column, width in zip(self.columns, widths, strict=True):
            column.width = width
        yield from super().__rich_console__(console, options)


def _longest(groups):
    """Returns the length of the longest text in groups of them, at least 1."""
    return max(
        (rich.cells.cell_len(text) for texts in groups for text in texts), default=1
    )
