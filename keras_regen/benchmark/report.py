"""What rows of benchmarks are to each other."""

from keras_regen.benchmark.settings import PRECISIONS

REPORT, PLOT = "benchmark.json", "benchmark.png"
# What two rows must share to be compared.
CONDITIONS = ("case", "frames", "height", "width", "batch_size", "dtype")


def with_ratios(rows):
    """Puts the peers beside ours.

    Args:
        rows: list of dict, of `Benchmark`.

    Returns:
        List of dict: the rows, those of ours with `ratios`, a dict of how many times as
        long each peer takes for the same.
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


def join_reports(reports):
    """One report of several, of one machine.

    Args:
        reports: list of dict, of `Benchmark.report`, at least one.

    Returns:
        Dict: the first, with the rows of all, ours first. They know their `backend`,
        their shares are of the best ceiling that any of the backends reached, and
        peers stand beside all of ours. The reports themselves are in `reports`.
    """
    best = {}
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
