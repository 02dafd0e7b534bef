"""Plots of an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_regen.figures import new_figure, save_figure
from keras_regen.types import StrPath

# The numbers of worst and of best clips of an embedder on a contact sheet.
EXTREMES = 4


def plot_rate_distortion(rows: Sequence[dict[str, Any]], path: StrPath) -> None:
    """Draws PSNR and SSIM of every embedder against its bits per pixel.

    Args:
        rows: list of dict, `embedders` of a report.
        path: path of the picture, `.png`.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    panels = [name for name in ("psnr", "ssim") if all(name in row for row in rows)]
    figure = new_figure(5.5 * len(panels), 4)
    for axes, name in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for row in rows:
            point = row["bits_per_pixel"], row[name]
            axes.scatter(*point, s=30)
            axes.annotate(
                row["embedder"],
                point,
                xytext=(4, 4),
                textcoords="offset points",
                fontsize="small",
            )
        rates = [row["bits_per_pixel"] for row in rows]
        axes.set_xscale("log")
        axes.set_xlim(min(rates) / 2, 2 * max(rates))
        axes.set_xlabel("bits per pixel")
        axes.set_title({"psnr": "PSNR, dB", "ssim": "SSIM"}[name])
        axes.margins(y=0.2)
        axes.grid(alpha=0.3, which="both")
    save_figure(figure, path)


def plot_contact_sheet(
    embedders: Mapping[
        str, Sequence[tuple[str, int, dict[str, Any], np.ndarray, np.ndarray]]
    ],
    path: StrPath,
) -> None:
    """Draws the clips of lowest and highest PSNR of each embedder.

    Args:
        embedders: dict from the name of an embedder to its `Evaluation.frames`.
        path: path of the picture, `.png`.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    sheets = {}
    for name, clips in embedders.items():
        ranked = sorted(clips, key=lambda clip: clip[2]["psnr"])
        # With few clips, none is shown twice.
        best = ranked[EXTREMES:][-EXTREMES:]
        sheets[name] = ranked[:EXTREMES] + best
    columns = max(map(len, sheets.values()))
    figure = new_figure(2.2 * columns, 4.6 * len(sheets))
    grid = figure.subplots(2 * len(sheets), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (name, clips) in enumerate(sheets.items()):
        for column, (video, number, scores, *pair) in enumerate(clips):
            for axes, frame in zip(
                grid[2 * row : 2 * row + 2, column], pair, strict=True
            ):
                axes.imshow(np.asarray(frame), interpolation="nearest")
            title = f"{video[:24]}, {number}\n{scores['psnr']:.2f} dB"
            grid[2 * row, column].set_title(title, fontsize="small")
        grid[2 * row + 1, 0].set_title(name, fontsize="small", loc="left")
    save_figure(figure, path)
