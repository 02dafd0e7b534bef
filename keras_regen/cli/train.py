"""The commands `train` and `train-generator`."""

import dataclasses
import inspect
import pathlib
from typing import Annotated, Any

import typer

from keras_regen.backend import quiet_start
from keras_regen.cli.common import load_keras, make_console
from keras_regen.training import GeneratorConfig, TrainingConfig


def train(output, config, **settings):
    """Train a model on videos, or continue a run.

    OUT is the directory of the settings, the checkpoint, the history and its plot, the
    TensorBoard log and the preset. The same command continues from the last checkpoint.
    Settings come from the TOML file, if there is one, and from options, which override
    the file.
    """
    _run("train", TrainingConfig, output, config, settings)


def train_generator(output, config, **settings):
    """Train a generator on latents, or continue a run.

    The latents are those that encode --dataset wrote. OUT is the directory of the
    settings, the checkpoint, the history and its plot, the TensorBoard log, samples and
    the preset. The same command continues from the last checkpoint. Settings come from
    the TOML file, if there is one, and from options, which override the file.
    """
    _run("train_generator", GeneratorConfig, output, config, settings)


def _run(function, config_class, output, config, settings):
    # An option that is not given is None, or an empty list.
    given = {k: v for k, v in settings.items() if v is not None and v != []}
    console = make_console()
    run_config = config_class.load(config, **given)
    # The run says what it trains on.
    load_keras(None)
    with quiet_start():
        import keras

        from keras_regen import training

        # To write a preset, Keras imports TensorFlow, which prints when imported.
        keras.saving.serialize_keras_object(keras.initializers.Zeros())
        run = getattr(training, function)
    run(run_config, output, console)


def _parameters(config_class):
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
    for field in config_class.settings():
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


def _take_settings(command, config_class):
    """Gives a command an option for every setting."""
    parameters = list(_parameters(config_class))
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {p.name: p.annotation for p in parameters}


_take_settings(train, TrainingConfig)
_take_settings(train_generator, GeneratorConfig)
