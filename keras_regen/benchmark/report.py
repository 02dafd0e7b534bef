"""Reports of benchmarks: ratios to the peers, joined reports, and a plot."""

import math
from collections.abc import Sequence
from typing import Any

from keras_regen.benchmark.settings import PRECISIONS
from keras_regen.figures import new_figure, save_figure
from keras_regen.types import StrPath

REPORT, PLOT = "benchmark.json", "benchmark.png"
# Two rows can be compared if these are equal.
CONDITIONS = ("case", "frames", "height", "width", "batch_size", "dtype")
OUR_COLOR, PEER_COLOR = "tab:blue", "tab:gray"
BAR_HEIGHT = 0.28


def with_ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compares our rows with those of the peers.

    Args:
        rows: list of dict, as `Benchmark.run` yields them.

    Returns:
        List of dict: the rows. Rows of our models have `ratios`, a dict from the name
        of each peer to its time divided by ours.
    """
    peers = [row for row in rows if row["is_peer"]]
    result = []
    for row in rows:
        ratios = {
            peer["model"]: peer["seconds"] / row["seconds"]
            for peer in peers
            if all(peer[name] == row[name] for name in CONDITIONS)
        }
        result.append(row if row["is_peer"] else {**row, "ratios": ratios})
    return result


def join_reports(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Joins reports of several backends on one machine.

    Args:
        reports: list of dict from `Benchmark.report`, at least one.

    Returns:
        Dict: the first report, with the rows of all reports, ours first. Each row has
        its `backend`, its share of the best ceiling of all backends, and ratios to the
        peers of all reports. `reports` holds the reports themselves.
    """
    best: dict[str, float] = {}
    for report in reports:
        for precision, rates in report["ceilings"].items():
            best[precision] = max(best.get(precision, 0.0), rates["ceiling"])
    rows = [
        {
            **row,
            "backend": "" if row["is_peer"] else report["backend"],
            "share_of_ceiling": row["operations_per_second"]
            / best[PRECISIONS[row["dtype"]]],
        }
        for report in reports
        for row in report["rows"]
    ]
    return {
        **reports[0],
        "backend": ", ".join(dict.fromkeys(report["backend"] for report in reports)),
        "rows": with_ratios(sorted(rows, key=lambda row: row["is_peer"])),
        "skipped": [reason for report in reports for reason in report["skipped"]],
        "reports": reports,
    }


def plot_seconds(report: dict[str, Any], path: StrPath) -> None:
    """Draws the seconds of every case, for our models and the peers.

    Args:
        report: dict from `Benchmark.report`.
        path: path of the picture, `.png`.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    cases = list(dict.fromkeys(row["case"] for row in report["rows"]))
    panels = [[row for row in report["rows"] if row["case"] == case] for case in cases]
    longest = max(map(len, panels))
    figure = new_figure(5.5 * len(panels), 1.4 + BAR_HEIGHT * longest)
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
        colors = [PEER_COLOR if row["is_peer"] else OUR_COLOR for row in rows]
        bars = axes.barh(range(len(rows)), seconds, xerr=spread, color=colors)
        axes.bar_label(bars, fmt=" %.3g", fontsize="small")
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
        axes.tick_params(axis="y", labelsize="small")
        axes.invert_yaxis()
        axes.set_xscale("log")
        # Starts at a power of ten below the shortest bar, so that the axis has a label.
        start = 10 ** math.floor(math.log10(min(seconds) / 2))
        axes.set_xlim(start, 3 * max(row["max_seconds"] for row in rows))
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel("seconds")
        axes.set_title(case)
        axes.grid(alpha=0.3, which="both", axis="x")
    save_figure(figure, path)


def _label(row):
    size = "x".join(str(row[name]) for name in ("frames", "height", "width"))
    batch = f"{row['batch_size']} of " if row["batch_size"] > 1 else ""
    return f"{row['model']}, {batch}{size}, {row['dtype'].removeprefix('mixed_')}"
