"""Pictures of a benchmark."""

import math

from keras_regen.figures import new_figure, save_figure

OURS, PEERS = "tab:blue", "tab:gray"
BAR = 0.28


def plot_seconds(report, path):
    """Draws the seconds of every case, peers beside ours.

    Args:
        report: dict, of `Benchmark.report`.
        path: path of the picture, `.png`.

    Raises:
        ImportError: without matplotlib.
    """
    cases = list(dict.fromkeys(row["case"] for row in report["rows"]))
    panels = [[row for row in report["rows"] if row["case"] == case] for case in cases]
    longest = max(map(len, panels))
    figure = new_figure(5.5 * len(panels), 1.4 + BAR * longest)
    figure.suptitle(
        f"{report['machine']['device']}, {report['machine']['cpu']}, "
        f"{report['backend']}",
        fontsize="medium",
    )
    for axes, case, rows in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], cases, panels, strict=True
    ):
        seconds = [row["seconds"] for row in rows]
        spread = [
            [row["seconds"] - row["min_seconds"] for row in rows],
            [row["max_seconds"] - row["seconds"] for row in rows],
        ]
        colors = [PEERS if row["is_peer"] else OURS for row in rows]
        bars = axes.barh(range(len(rows)), seconds, xerr=spread, color=colors)
        axes.bar_label(bars, fmt=" %.3g", fontsize="small")
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
        axes.tick_params(axis="y", labelsize="small")
        axes.invert_yaxis()
        axes.set_xscale("log")
        # From a power of ten, so that one is marked; the least bar is to be seen too.
        least = 10 ** math.floor(math.log10(min(seconds) / 2))
        axes.set_xlim(least, 3 * max(row["max_seconds"] for row in rows))
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel("seconds")
        axes.set_title(case)
        axes.grid(alpha=0.3, which="both", axis="x")
    save_figure(figure, path)


def _label(row):
    size = "x".join(str(row[name]) for name in ("frames", "height", "width"))
    batch = f"{row['batch_size']} of " if row["batch_size"] > 1 else ""
    return f"{row['model']}, {batch}{size}, {row['dtype'].removeprefix('mixed_')}"
