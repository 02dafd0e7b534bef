"""The tables and the plot."""

from keras_regen.figures import new_figure, save_figure
from keras_regen.pixels import SPATIAL_COMPRESSION
from tools.common import print_table

SHOWN = ("digit", "colour", "direction", "speed")


def print_report(results):
    """Prints tables of the codecs and of what the generators made.

    Args:
        results: dict of lists of dicts, as in `results.json`.
    """
    print_table(
        ["codec", "tokens", "latent values", "PSNR, dB", *SHOWN, "rFVD", "decode, s"],
        [
            [
                _title(row["codec"]),
                row["tokens"],
                row["values"],
                f"{row['psnr']:.2f}",
                *_shares(row),
                _fvd(row),
                f"{row['decoding_seconds']:.2f}",
            ]
            for row in results["codecs"]
        ],
    )
    print_table(
        [
            *("codec", "training, s", "steps", "a step, s"),
            *("sampling, s", "steps ", *SHOWN, "FVD"),
        ],
        [
            [
                _title(row["codec"]),
                round(row["training_seconds"]),
                row["training_steps"],
                f"{row['training_seconds'] / row['training_steps']:.3f}",
                f"{row['sampling_seconds']:.2f}",
                row["sampling_steps"],
                *_shares(row),
                _fvd(row),
            ]
            for row in results["generators"]
        ],
    )
    if "fvd_of_real" in results:
        print(f"\nFVD of other real clips: {results['fvd_of_real']:.1f}", flush=True)


def save_plot(results, path):
    """Plots what is right over the seconds of training, and of sampling."""
    rows = results["generators"]
    if not rows:
        return
    columns = [*SHOWN, *(["fvd"] if any("fvd" in row for row in rows) else [])]
    most = max(row["sampling_steps"] for row in rows)
    last = max(row["share"] for row in rows)
    chosen = {
        "training": [row for row in rows if row["sampling_steps"] == most],
        "sampling": [row for row in rows if row["share"] == last],
    }
    figure = new_figure(3 * len(columns), 6)
    grid = figure.subplots(2, len(columns), squeeze=False)
    for line, (time, points) in zip(grid, chosen.items(), strict=True):
        for axes, column in zip(line, columns, strict=True):
            for codec in dict.fromkeys(row["codec"] for row in rows):
                curve = [
                    (row[f"{time}_seconds"], row[column])
                    for row in points
                    if row["codec"] == codec and column in row
                ]
                if curve:
                    axes.plot(*zip(*curve, strict=True), "o-", label=_title(codec))
            if column != "fvd":
                axes.set_ylim(0, 1.05)
            axes.set_title("FVD" if column == "fvd" else f"{column} read right")
            axes.set_xlabel(f"seconds of {time}")
            axes.grid(alpha=0.3)
    grid[0][0].legend(fontsize="small")
    save_figure(figure, path)


def _title(codec):
    kind, _, k = codec.partition("_")
    side = SPATIAL_COMPRESSION
    name = {"regen": "REGEN", "conv": "convolutional"}[kind]
    return f"{name} {side}x{side}x{k}"


def _shares(row):
    return [f"{row[name]:.0%}" for name in SHOWN]


def _fvd(row):
    return f"{row['fvd']:.1f}" if "fvd" in row else ""
