"""Plots by matplotlib, drawn without a display."""

from typing import TYPE_CHECKING

from keras_regen.atomic_output import AtomicOutput
from keras_regen.types import StrPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> "Figure":
    """Makes a `matplotlib.figure.Figure` of a width and height in inches.

    Raises:
        ImportError: without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib: pip install keras-regen[train]"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: "Figure", path: StrPath) -> None:
    """Writes a figure to a `.png` file, which appears only when it is complete."""
    with AtomicOutput(path, "plot") as output:
        figure.savefig(output.temporary, dpi=100)
