"""Models from the configurations of presets, which need not be trusted.

A configuration may name the classes that presets are made of, and no others that the
program has registered with Keras: to build an object can run code or read files.
"""

import contextlib
import inspect
import math
import reprlib
from collections.abc import Mapping
from typing import Any

import keras

from keras_regen.bundled import KINDS
from keras_regen.models.config_checks import (
    check_convolutional,
    check_latent_transformer,
    check_transformer,
)
from keras_regen.models.stages import halvings, of_stage

PACKAGE = "keras_regen>"
# The parts of each kind of models that have weights.
NETWORKS = {"codec": ("encoder", "decoder"), "generator": ("transformer",)}
_DIFFUSION = {
    "diffusion_path": ("CosinePath", "LinearPath"),
    "prediction": ("Epsilon", "Sample", "V", "Velocity"),
    "time_distribution": ("LogitNormalTimes", "UniformTimes"),
}
# The classes of each part of a model.
PARTS = {
    "codec": {
        "encoder": ("VideoEncoder",),
        "decoder": ("ConvDecoder", "DiTDecoder"),
        "weighting": ("PredictionWeighting", "SampleWeighting", "VelocityWeighting"),
        **_DIFFUSION,
    },
    "generator": {"transformer": ("LatentTransformer",), **_DIFFUSION},
}


def model_from_config(
    config: Any,
    kind: str,
    custom_objects: Mapping[str, Any],
    max_parameters: int,
    **how: Any,
) -> keras.Model:
    """Builds the model of a preset.

    Args:
        config: dict, as JSON holds it.
        kind: `"codec"` or `"generator"`.
        custom_objects: dict from the registered names of other classes to the classes.
            The configuration may name these too.
        max_parameters: int. The number of values that the file of weights holds.
        **how: `dtype` and `remat` of the parts that have weights.

    Returns:
        The model, with initial weights.

    Raises:
        ValueError: if it names another class, or the arguments of a class are wrong,
            or it has more parameters than the weights.
    """
    cls, arguments = _read(config, "model", KINDS[kind], custom_objects)
    # The caller chooses the precision.
    arguments.pop("dtype", None)
    parts = {
        name: _read(value, name, PARTS[kind].get(name, ()), custom_objects)
        for name, value in arguments.items()
        if isinstance(value, dict)
    }
    networks = NETWORKS[kind]
    for name in networks:
        if name not in parts:
            raise ValueError(f"it has no {name}")
        parts[name][1].update(how)
    # Everything is checked before anything is built.
    for name, (part, own) in parts.items():
        with _named(name):
            if _min_parameters(part, own) > max_parameters:
                raise ValueError(
                    "it has more parameters than the file of weights, which holds "
                    f"{max_parameters}"
                )
    for name in sorted(parts, key=networks.count):
        with _named(name):
            part, own = parts[name]
            arguments[name] = part.from_config(own)
    return cls.from_config(arguments)


def temporal_compression(config: Any) -> Any:
    """Returns k of the configuration of a preset, which may be of any type."""

    def get(config, name):
        return config.get(name) if isinstance(config, dict) else None

    arguments = get(config, "config")
    if get(arguments, "encoder") is not None:
        arguments = get(get(arguments, "encoder"), "config")
    return get(arguments, "temporal_compression")


def kind_of(config: Any) -> str | None:
    """Returns the kind of a preset, or None if its class is not of this package."""
    with contextlib.suppress(ValueError):
        name = class_name(config)
        return next((kind for kind in KINDS if name in KINDS[kind]), None)
    return None


def class_name(config: Any) -> str:
    """Returns the name of the class in a configuration, without its package.

    Raises:
        ValueError: if there is none.
    """
    if not isinstance(config, dict):
        raise ValueError(f"expected a JSON object. Received: {reprlib.repr(config)}")
    name = config.get("registered_name") or config.get("class_name")
    if not isinstance(name, str):
        raise ValueError(f"expected the name of a class. Received: {name!r}")
    return name.removeprefix(PACKAGE)


@contextlib.contextmanager
def _named(part):
    """Adds the name of a part to its errors."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{part}: {error}") from error


def _read(config, what, allowed, custom_objects):
    """Returns the class that a configuration names, and a dict of its arguments."""
    name = class_name(config)
    arguments = config.get("config")
    if not isinstance(arguments, dict):
        raise ValueError(
            f"{what}: expected the arguments of `{name}` as a JSON object. "
            f"Received: {reprlib.repr(arguments)}"
        )
    if name in custom_objects:
        return custom_objects[name], dict(arguments)
    if name not in allowed:
        raise ValueError(
            f"{what}: expected one of {', '.join(allowed) or 'no class'}; in Python, "
            "`from_preset` takes a class of your own in `custom_objects`. "
            f"Received: {reprlib.repr(name)}"
        )
    return keras.saving.get_registered_object(PACKAGE + name), dict(arguments)


# === Sizes ===


def _min_parameters(cls, arguments):
    """Returns a number of parameters that a part has at least.

    To compute it takes no memory, as building the part does.
    """
    if cls.__name__ not in _SIZES:
        return 0
    check, count = _SIZES[cls.__name__]
    bound = inspect.signature(cls).bind(**arguments)
    bound.apply_defaults()
    check(bound.arguments)
    return count(bound.arguments)


def _transformer_parameters(arguments):
    # Modulation, queries, keys and values, their output, and the MLP.
    in_block = 6 + 3 + 1 + 2 * arguments["mlp_ratio"]
    blocks = arguments["depth"] * in_block * arguments["units"] ** 2
    siren = arguments["siren_features"] ** 2
    return blocks + siren * (arguments["conditioning"] == "content_aware")


def _convolutional_parameters(arguments):
    widths, num_blocks = arguments["widths"], arguments["num_blocks"]
    stages = 1 + max(
        halvings(arguments["temporal_compression"], arguments["stem_patch_size"])
    )
    taps = sum(math.prod(size) for size in arguments["kernel_sizes"])
    blocks = sum(
        of_stage(num_blocks, stage) * taps * of_stage(widths, stage) ** 2
        for stage in range(stages)
    )
    between = sum(
        of_stage(widths, stage) * of_stage(widths, stage + 1)
        for stage in range(stages - 1)
    )
    return blocks + between + min(widths) * arguments["latent_channels"]


def _latent_transformer_parameters(arguments):
    units, text_channels = arguments["units"], arguments["text_channels"] or 0
    # Queries, keys and values, and their output, also of a text, and the MLP.
    in_block = (8 if text_channels else 4) + 2 * arguments["mlp_ratio"]
    # Of content and motion, from and to the latents.
    channels = 4 * arguments["latent_channels"] * arguments["patch_size"] ** 2
    embeddings = channels + text_channels + (arguments["num_labels"] or 0)
    # Modulation is shared by the blocks.
    return (arguments["depth"] * in_block + 6) * units**2 + embeddings * units


_SIZES = {
    "DiTDecoder": (check_transformer, _transformer_parameters),
    "VideoEncoder": (check_convolutional, _convolutional_parameters),
    "ConvDecoder": (check_convolutional, _convolutional_parameters),
    "LatentTransformer": (check_latent_transformer, _latent_transformer_parameters),
}
