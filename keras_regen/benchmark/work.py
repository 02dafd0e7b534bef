"""The models that are timed and the work that they do."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_regen.models import (
    ARCHITECTURES,
    ConvAutoencoder,
    Regen,
    build_model,
    decoder_operations,
    encoder_operations,
    load_model,
    preset_directory,
    training_operations,
)
from keras_regen.pixels import SPATIAL_COMPRESSION

DEFAULT_COMPRESSION = 8
LEARNING_RATE = 1e-4
WEIGHT_SCALE = 0.02


@dataclasses.dataclass(frozen=True)
class Work:
    """A function to time, and the number of operations of a call."""

    function: Callable
    operations: int


def check_model(name: str) -> None:
    """Raises ValueError unless it is the name of an architecture or a preset."""
    if name in ARCHITECTURES:
        return
    try:
        preset_directory(name)
    except ValueError as error:
        raise ValueError(
            f"A model is an architecture ({', '.join(ARCHITECTURES)}) or a preset. "
            f"{error}"
        ) from error


def make_model(
    name: str, temporal_compression: int | None, dtype: str
) -> Regen | ConvAutoencoder:
    """Makes a model to time.

    Args:
        name: str. An architecture or a preset.
        temporal_compression: int or None. k. Defaults to 8, or the preset's own.
        dtype: str. The dtype policy.

    Returns:
        A `Regen`, or the model of the preset.

    Raises:
        ValueError: if there is no model with this name and k.
    """
    if name not in ARCHITECTURES:
        return load_model(name, temporal_compression, dtype)
    k = temporal_compression or DEFAULT_COMPRESSION
    return fill_zeros(build_model(name, k, dtype=dtype))


def fill_zeros(model: keras.Model) -> keras.Model:
    """Fills kernels that start at zero, since multiplying by zero may be faster."""
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        if weight.name == "kernel" and not ops.convert_to_numpy(weight).any():
            values = rng.standard_normal(weight.shape, "float32")
            weight.assign(WEIGHT_SCALE * values)
    return model


def make_work(
    case: str,
    model: Regen | ConvAutoencoder,
    size: tuple[int, int],
    batch_size: int = 1,
    num_steps: int = 1,
) -> Work:
    """Makes the work of a case.

    Args:
        case: one of `CASES`.
        model: a model from `make_model`.
        size: `(height, width)`.
        batch_size: int. Chunks in a batch. Defaults to `1`.
        num_steps: int. Sampling steps of `"decode"`. Defaults to `1`.

    Returns:
        `Work`.

    Raises:
        ValueError: if the case is `"dit"` and the model has no DiT decoder.
    """
    shape = (batch_size, model.temporal_compression + 1, *size)
    return _WORK[case](model, shape, num_steps)


def _encode(model, shape, num_steps):
    video = _video(shape)
    return Work(lambda: model.encode(video), encoder_operations(model.encoder, shape))


def _decode(model, shape, num_steps):
    latents = _latents(model, shape)
    steps = num_steps if model.is_generative else 1
    return Work(
        lambda: model.decode(latents, num_steps=num_steps),
        steps * decoder_operations(model.decoder, shape),
    )


def _dit(model, shape, num_steps):
    if not model.is_generative:
        raise ValueError(
            'The case "dit" needs a model with a DiT decoder. '
            f"Received: {model.preset!r}, a `{type(model).__name__}`"
        )
    batch, frames, *_ = shape
    inputs = {
        "video": _normal((*shape, 3)),
        "timestep": np.full((batch,), 0.5, "float32"),
        "latents": _latents(model, shape),
        "times": np.tile(np.arange(frames, dtype="float32"), (batch, 1)),
    }
    return Work(
        lambda: model.decoder.predict_on_batch(inputs),
        decoder_operations(model.decoder, shape),
    )


def _train(model, shape, num_steps):
    # A tensor, as in `fit`.
    video = ops.convert_to_tensor(_video(shape))
    model.compile(optimizer=keras.optimizers.AdamW(LEARNING_RATE))
    return Work(lambda: model.train_on_batch(video), training_operations(model, shape))


_WORK = {"encode": _encode, "decode": _decode, "dit": _dit, "train": _train}


def _video(shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), "uint8")


def _latents(model, shape):
    batch, _, *size = shape
    sides = (side // SPATIAL_COMPRESSION for side in size)
    return _normal((batch, 2, *sides, model.encoder.latent_channels))


def _normal(shape):
    return np.random.default_rng(0).standard_normal(shape, "float32")
