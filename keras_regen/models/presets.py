"""Presets: trained models as plain directories."""

import json
import pathlib
import shutil
import tempfile

import keras

from keras_regen.models import hub
from keras_regen.models.weights_file import (
    DTYPES,
    file_sha256,
    load_weights,
    save_weights,
)

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
METADATA = "metadata.json"
BUNDLED = pathlib.Path(__file__).parents[1] / "presets"
# Key of the metadata: the SHA-256 of the file of weights.
DIGEST = "weights_sha256"


def bundled_presets():
    """Returns the names of the presets that come with the package, sorted."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))


def preset_directory(preset):
    """Finds the directory of a preset.

    Args:
        preset: the name of a bundled preset, a directory, or `hf://user/name` or
            `hf://user/name@revision`, which is downloaded to the hub's cache.

    Raises:
        ValueError: if there is no such preset.
        ImportError: for `hf://` without huggingface_hub installed.
    """
    if str(preset).startswith(hub.PREFIX):
        directory = hub.download_preset(str(preset), (CONFIG, WEIGHTS, METADATA))
    elif preset in bundled_presets():
        directory = BUNDLED / preset
    else:
        directory = pathlib.Path(preset)
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            raise ValueError(
                "A preset is a bundled name "
                f"({', '.join(bundled_presets()) or 'none is bundled'}), a directory "
                f"with {CONFIG} and {WEIGHTS}, or {hub.PREFIX}user/name. "
                f"Received: {str(preset)!r}, which has no {name}"
            )
    return directory


def preset_metadata(preset):
    """Returns the `metadata.json` of a preset as a dict, empty if it has none.

    Raises:
        ValueError: if there is no such preset, or the file is not JSON.
    """
    path = preset_directory(preset) / METADATA
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def load_model(preset, temporal_compression=None, dtype=None, remat=False):
    """Loads a trained model, a `Regen` or a `ConvAutoencoder`.

    Args:
        preset: as for `Regen.from_preset`.
        temporal_compression: as for `Regen.from_preset`.
        dtype: as for `Regen.from_preset`.
        remat: as for `Regen.from_preset`.

    Raises:
        ValueError: if there is no such preset or it is of another k.
    """
    return load_preset(keras.Model, preset, temporal_compression, dtype, remat)


def load_preset(cls, preset, temporal_compression=None, dtype=None, remat=False):
    """See `Regen.from_preset`."""
    directory = preset_directory(preset)
    try:
        config = json.loads((directory / CONFIG).read_text())
        for part in ("encoder", "decoder"):
            part_config = config["config"][part]["config"]
            part_config["dtype"] = dtype
            part_config["remat"] = remat
            found = part_config["temporal_compression"]
        # The caller chooses the precision.
        config["config"].pop("dtype", None)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{directory / CONFIG} is not the configuration of a preset: {error!r}"
        ) from error
    if temporal_compression not in (None, found):
        raise ValueError(
            f"The preset {str(preset)!r} has temporal_compression={found}. "
            f"Received: temporal_compression={temporal_compression}"
        )
    _check_weights(directory)
    model = keras.saving.deserialize_keras_object(config)
    if not isinstance(model, cls):
        raise ValueError(
            f"Expected the preset of a `{cls.__name__}`. "
            f"Received: {str(preset)!r}, of a `{type(model).__name__}`"
        )
    try:
        load_weights(model, directory / WEIGHTS)
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{directory / WEIGHTS} does not hold the preset's weights: {error}"
        ) from error
    model.preset = str(preset)
    return model


def _check_weights(directory):
    """Raises ValueError if the weights are not those that the metadata names."""
    expected = preset_metadata(directory).get(DIGEST)
    if expected is None:
        # Presets of earlier versions name none.
        return
    found = file_sha256(directory / WEIGHTS)
    if found != expected:
        raise ValueError(
            f"{directory / WEIGHTS} is damaged or belongs to another preset: "
            f"{METADATA} expects the SHA-256 {expected}. Received: {found}"
        )


def save_preset(model, directory, metadata=None, dtype="float32"):
    """See `Regen.save_to_preset`."""
    if dtype not in DTYPES:
        raise ValueError(
            f"`dtype` must be one of {', '.join(DTYPES)}. Received: dtype={dtype!r}"
        )
    directory = pathlib.Path(directory)
    config = keras.saving.serialize_keras_object(model)
    # What the model was compiled with belongs to its training, not to the preset.
    for key in ("compile_config", "build_config"):
        config.pop(key, None)
    config["config"].pop("dtype")
    for part in ("encoder", "decoder"):
        for key in ("dtype", "remat"):
            config["config"][part]["config"].pop(key)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        temporary = pathlib.Path(temporary)
        save_weights(model, temporary / WEIGHTS, dtype)
        metadata = {**(metadata or {}), DIGEST: file_sha256(temporary / WEIGHTS)}
        (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        (temporary / METADATA).write_text(json.dumps(metadata, indent=2) + "\n")
        for name in (WEIGHTS, METADATA, CONFIG):
            shutil.move(temporary / name, directory / name)


def upload_preset(directory, address):
    """Uploads a preset to the Hugging Face hub, with a model card made of its metadata.

    The repository is created where there is none. Log in first, with `hf auth login` or
    the environment variable `HF_TOKEN`.

    Args:
        directory: path of the preset, or the name of a bundled one.
        address: `hf://user/name`, or `hf://user/name@branch` for an existing branch.

    Returns:
        str. The commit's address on the web.

    Raises:
        ValueError: if there is no such preset, its weights are damaged, or it cannot be
            uploaded.
        ImportError: without huggingface_hub.
    """
    directory = preset_directory(directory)
    _check_weights(directory)
    config = json.loads((directory / CONFIG).read_text())
    name = address.partition("@")[0]
    card = hub.model_card(name, config, preset_metadata(directory))
    return hub.upload_directory(directory, address, card, f"Preset {directory.name}")
