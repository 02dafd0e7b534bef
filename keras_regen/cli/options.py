"""Options that commands share, and checks of what they name.

None imports Keras, so wrong options are told at once.
"""

import itertools
import os
import pathlib
from typing import Annotated

import typer

from keras_regen.bundled import KINDS, bundled_presets, every_bundled_preset
from keras_regen.checks import MAX_NOISE_SEED
from keras_regen.sizes import parse_memory
from keras_regen.types import Precision, ScheduleName

OUTPUT_HELP = (
    "An .mp4, .mkv, .webm, .gif or .npy; or a new directory, without a suffix, for "
    "PNG images."
)


def complete_preset(incomplete: str) -> list[str]:
    """Returns the bundled presets whose names begin so, for the shell."""
    return [name for name in bundled_presets() if name.startswith(incomplete)]


PresetOption = Annotated[
    str,
    typer.Option(
        metavar="PRESET",
        help="A bundled name, a directory or hf://user/name.",
        autocompletion=complete_preset,
    ),
]


ScheduleOption = Annotated[
    ScheduleName, typer.Option(help="The times of the sampling steps.")
]
StepsOption = Annotated[int, typer.Option(min=1, help="Sampling steps.")]
SeedOption = Annotated[
    int, typer.Option(min=0, max=MAX_NOISE_SEED, help="Seed of the noise.")
]
NoiseScaleOption = Annotated[
    float, typer.Option(min=0, help="Scale of the noise; 1 is the scale in training.")
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        help="The precision to compute in: the mixed ones are faster on GPUs, and "
        "mixed_bfloat16 on CPUs that have products of it."
    ),
]


def _check_memory(text: str | None) -> str | None:
    if text is not None:
        parse_memory(text)
    return text


MaxMemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        callback=_check_memory,
        help="Memory such as 512MB, on top of the weights and the backend's own.",
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace OUT if there is one.")
]


def complete_generator(incomplete: str) -> list[str]:
    """Returns the bundled generators whose names begin so, for the shell."""
    names = bundled_presets("generator")
    return [name for name in names if name.startswith(incomplete)]


def check_preset(preset, kind="codec"):
    """Raises ValueError if there is no preset of this name and kind here.

    An address on the hub may be of one, and so may a directory: loading tells.
    """
    bundled = bundled_presets(kind) if kind else list(every_bundled_preset())
    if preset in bundled or preset.startswith("hf://") or os.path.isdir(preset):
        return
    if preset in every_bundled_preset():
        (other,) = (k for k in KINDS if k != kind)
        raise ValueError(
            f"Expected a {kind} ({', '.join(bundled) or 'none is bundled'}). "
            f"Received: {preset!r}, which is a {other}"
        )
    raise ValueError(
        f"There is no such preset. It is a bundled name ({', '.join(bundled)}), a "
        f"directory or hf://user/name. Received: {preset!r}"
    )


def check_output(output, source=None, overwrite=False):
    """Raises ValueError if an output would replace its source, or a file unasked."""
    is_there = output.exists()
    if is_there and source and source.exists() and output.samefile(source):
        raise ValueError(
            f"OUT must not be {source}, which is read. Received: OUT={output}"
        )
    if output.is_file() and not overwrite:
        raise ValueError(
            "The file OUT exists: choose another, or replace it with --overwrite. "
            f"Received: OUT={output}"
        )


def output_for(source, ending):
    """Returns a path in the current directory: the source's stem plus `ending`.

    The stem of `.` is the directory's name. `ending` includes the suffix.
    """
    return pathlib.Path(pathlib.Path(os.path.abspath(source)).stem + ending)


def free_path(path):
    """Returns a path, with a number at the end of its stem if something is there."""
    numbered = (path.with_stem(f"{path.stem}_{n}") for n in itertools.count(2))
    return next(p for p in itertools.chain([path], numbered) if not os.path.lexists(p))
