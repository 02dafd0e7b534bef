"""Plots by matplotlib, drawn without a display."""

from keras_regen.atomic_output import AtomicOutput


def new_figure(width, height):
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


def save_figure(figure, path):
    """Writes a figure to a `.png` file, which appears only when it is complete."""
    with AtomicOutput(path, "plot") as output:
        figure.savefig(output.temporary, dpi=100)
