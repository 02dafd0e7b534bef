"""The command `train`."""

import dataclasses
import inspect
import pathlib
from typing import Annotated, Any

import typer

from keras_regen.backend import quiet_start
from keras_regen.cli.common import load_keras, make_console
from keras_regen.training import TrainingConfig


def train(output, config, **settings):
    """Train a model on videos, or continue a run.

    OUT is the directory of the settings, the checkpoint, the history and its plot, the
    TensorBoard log and the preset. The same command continues from the last checkpoint.
    Settings come from the TOML file, if there is one, and from options, which override
    the file.
    """
    # An option that is not given is None, or an empty list.
    given = {k: v for k, v in settings.items() if v is not None and v != []}
    console = make_console()
    training_config = TrainingConfig.load(config, **given)
    load_keras(console)
    with quiet_start():
        import keras

        from keras_regen import training

        # To write a preset, Keras imports TensorFlow, which prints when imported.
        keras.saving.serialize_keras_object(keras.initializers.Zeros())
    training.train(training_config, output, console)


def _parameters():
    """Yields an option for every setting; it is None unless it is given."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    yield inspect.Parameter(
        "output",
        keyword,
        annotation=Annotated[
            pathlib.Path,
            typer.Option("--output", "-o", metavar="OUT", help="Directory of the run."),
        ],
    )
    yield inspect.Parameter(
        "config",
        keyword,
        default=None,
        annotation=Annotated[
            pathlib.Path | None,
            typer.Option("--config", help="A TOML file of settings."),
        ],
    )
    for field in dataclasses.fields(TrainingConfig):
        kind: Any = field.type
        yield inspect.Parameter(
            field.name,
            keyword,
            default=None,
            annotation=Annotated[kind | None, typer.Option(help=_help(field))],
        )


def _help(field):
    missing = field.default is dataclasses.MISSING
    default = field.default_factory() if missing else field.default
    text = ", ".join(map(str, default)) if isinstance(default, list) else default
    if isinstance(default, bool) or text == "":
        return field.metadata["help"]
    return f"{field.metadata['help']} [{text}]"


train.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    list(_parameters())
)
train.__annotations__ = {p.name: p.annotation for p in _parameters()}
