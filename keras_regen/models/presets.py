"""Presets: trained models as plain directories."""

import contextlib
import json
import pathlib
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import keras

from keras_regen.atomic_output import AtomicOutput
from keras_regen.bundled import KINDS, every_bundled_preset
from keras_regen.checks import check_flags, read_json
from keras_regen.models import hub, preset_config
from keras_regen.models.model_card import model_card
from keras_regen.models.weights_file import (
    DTYPES,
    count_stored,
    load_weights,
    save_weights,
)
from keras_regen.types import StrPath
from keras_regen.weights_digest import file_sha256

if TYPE_CHECKING:
    from keras_regen.models.conv_autoencoder import ConvAutoencoder
    from keras_regen.models.regen import Regen
    from keras_regen.models.trained_model import TrainedModel
    from keras_regen.text import TextEmbeddings

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
METADATA = "metadata.json"
FILES = (WEIGHTS, METADATA, CONFIG)
# The embeddings of captions that a generator may have.
TEXT = "text.h5"
# The directory in a preset that holds a new version until its files are in place. An
# empty TEXT there stands for none.
SAVED = ".saved"
# Key of the metadata: the SHA-256 of the file of weights.
DIGEST = "weights_sha256"

_Model = TypeVar("_Model", bound=keras.Model)


def preset_directory(preset: StrPath) -> pathlib.Path:
    """Finds the directory of a preset.

    Args:
        preset: the name of a bundled preset, a directory, or `hf://user/name` or
            `hf://user/name@revision`, which is downloaded to the hub's cache.

    Raises:
        ValueError: if there is no such preset.
        ImportError: for `hf://` without huggingface_hub installed.
    """
    bundled = every_bundled_preset()
    if str(preset).startswith(hub.PREFIX):
        directory = hub.download_preset(str(preset), (*FILES, TEXT))
    else:
        directory = bundled.get(str(preset), pathlib.Path(preset))
    _finish_save(directory)
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            inside = directory / "preset"
            hint = f": did you mean {inside}?" if (inside / CONFIG).is_file() else ""
            raise ValueError(
                "A preset is a bundled name "
                f"({', '.join(bundled) or 'none'}), a directory "
                f"with {CONFIG} and {WEIGHTS}, or {hub.PREFIX}user/name. "
                f"Received: {str(preset)!r}, which has no {name}{hint}"
            )
    return directory


def absolute_preset(preset: str | None) -> str | None:
    """Returns a preset's name that stays valid in another working directory.

    Args:
        preset: as for `preset_directory`, or None.

    Returns:
        The absolute path of a directory; a bundled name, `hf://` and what is not here
        stay as they are.
    """
    if preset is None or preset in every_bundled_preset():
        return preset
    path = pathlib.Path(preset)
    return str(path.absolute()) if path.is_dir() else preset


def preset_metadata(preset: StrPath) -> dict[str, Any]:
    """Returns the `metadata.json` of a preset as a dict, empty if it has none.

    Raises:
        ValueError: if there is no such preset, or the file does not hold a JSON object.
    """
    path = preset_directory(preset) / METADATA
    return read_json(path) if path.is_file() else {}


def preset_name(preset: StrPath) -> str:
    """Returns a preset's name: its directory's, or the run's for `RUN/preset`."""
    path = pathlib.Path(preset)
    return path.parent.name if path.name == "preset" and path.parent.name else path.name


def preset_kind(preset: StrPath) -> str:
    """Returns what a preset is for.

    Returns:
        str. `"generator"` for a model that generates latents, else `"codec"`.

    Raises:
        ValueError: if there is no such preset, or its configuration is not a JSON
            object.
    """
    config = read_json(preset_directory(preset) / CONFIG)
    return preset_config.kind_of(config) or "codec"


def load_model(
    preset: StrPath,
    temporal_compression: int | None = None,
    dtype: str | keras.DTypePolicy | None = None,
    remat: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
) -> "Regen | ConvAutoencoder":
    """Loads a trained codec, a `Regen` or a `ConvAutoencoder`.

    Args:
        preset: as for `Regen.from_preset`.
        temporal_compression: as for `Regen.from_preset`.
        dtype: as for `Regen.from_preset`.
        remat: as for `Regen.from_preset`.
        custom_objects: as for `Regen.from_preset`.

    Raises:
        ValueError: if there is no such preset, it is of another k or of a generator, or
            it is damaged.
    """
    return load_preset(
        keras.Model, "codec", preset, temporal_compression, dtype, remat, custom_objects
    )


def load_preset(
    cls: type[_Model],
    kind: str,
    preset: StrPath,
    temporal_compression: int | None = None,
    dtype: str | keras.DTypePolicy | None = None,
    remat: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
) -> _Model:
    """Loads a preset of a kind and a class; see `TrainedModel.from_preset`."""
    dtype = keras.dtype_policies.get(dtype)
    check_flags(remat=remat)
    directory = preset_directory(preset)
    config = read_json(directory / CONFIG)
    if preset_config.kind_of(config) not in (kind, None):
        raise ValueError(
            f"Expected the preset of a {kind} ({', '.join(KINDS[kind])}). "
            f"Received: {str(preset)!r}, of a `{preset_config.class_name(config)}`"
        )
    found = preset_config.temporal_compression(config)
    if temporal_compression not in (None, found):
        raise ValueError(
            f"The preset {str(preset)!r} has temporal_compression={found}. "
            f"Received: temporal_compression={temporal_compression}"
        )
    _check_weights(directory)
    # To call a class's own `from_preset` is to trust the class.
    custom_objects = {
        keras.saving.get_registered_name(cls): cls,
        **(custom_objects or {}),
    }
    # Outside the `try`, which would take its error for one in the configuration.
    stored = count_stored(directory / WEIGHTS)
    try:
        # Random initial values, which the weights replace, take seconds on JAX.
        with keras.saving.custom_object_scope(
            {"glorot_uniform": keras.initializers.Zeros}
        ):
            model = preset_config.model_from_config(
                config, kind, custom_objects, stored, dtype=dtype, remat=remat
            )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{directory / CONFIG} is not the configuration of a preset: {error}"
        ) from error
    if not isinstance(model, cls):
        raise ValueError(
            f"Expected the preset of a `{cls.__name__}`. "
            f"Received: {str(preset)!r}, of a `{type(model).__name__}`"
        )
    load_weights(model, directory / WEIGHTS)
    model.preset = str(preset)
    return model


def _check_weights(directory):
    """Raises ValueError if the weights are not those that the metadata names."""
    metadata = preset_metadata(directory)
    if DIGEST not in metadata:
        # Presets of earlier versions name none.
        return
    found = file_sha256(directory / WEIGHTS)
    if found != metadata[DIGEST]:
        raise ValueError(
            f"{directory / WEIGHTS} is damaged or belongs to another preset: "
            f"{METADATA} expects the SHA-256 {reprlib.repr(metadata[DIGEST])}. "
            f"Received: {found}"
        )


def save_preset(
    model: "TrainedModel",
    directory: StrPath,
    metadata: Mapping[str, Any] | None = None,
    dtype: str = "float32",
    overwrite: bool = True,
    texts: "TextEmbeddings | None" = None,
) -> None:
    """Writes a preset in place of the one that is there, if there is one.

    Args:
        model: a `TrainedModel`.
        directory: as for `TrainedModel.save_to_preset`.
        metadata: as for `TrainedModel.save_to_preset`.
        dtype: as for `TrainedModel.save_to_preset`.
        overwrite: as for `TrainedModel.save_to_preset`.
        texts: `TextEmbeddings` or None. Defaults to `None`: the preset has none.

    Raises:
        ValueError: as `TrainedModel.save_to_preset`.
    """
    if dtype not in DTYPES:
        raise ValueError(
            f"`dtype` must be one of {', '.join(DTYPES)}. Received: dtype={dtype!r}"
        )
    directory = pathlib.Path(directory)
    bundled = every_bundled_preset().get(str(directory))
    if bundled and directory.resolve() != bundled.resolve():
        raise ValueError(
            "A directory of this name is never loaded, since a bundled preset has it: "
            f"choose another. Received: directory={directory}"
        )
    names = (*FILES, TEXT, SAVED)
    if not overwrite and any((directory / name).exists() for name in names):
        raise ValueError(
            "There is a preset, which `overwrite=True` would replace. "
            f"Received: directory={directory}"
        )
    config = keras.saving.serialize_keras_object(model)
    # What the model was compiled with, and what of it was trained, belong to its
    # training, not to the preset.
    for key in ("compile_config", "build_config"):
        config.pop(key, None)
    for key in ("dtype", "trainable"):
        config["config"].pop(key)
    for part in preset_config.NETWORKS[model.preset_kind]:
        for key in ("dtype", "remat", "trainable"):
            config["config"][part]["config"].pop(key)
    directory.mkdir(parents=True, exist_ok=True)
    _finish_save(directory)
    with AtomicOutput(directory / SAVED, "preset", directory=True) as output:
        new = output.temporary
        save_weights(model, new / WEIGHTS, dtype)
        metadata = {**(metadata or {}), DIGEST: file_sha256(new / WEIGHTS)}
        (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        (new / METADATA).write_text(json.dumps(metadata, indent=2) + "\n")
        if texts is None:
            (new / TEXT).touch()
        else:
            texts.save(new / TEXT)
    _finish_save(directory)


def _finish_save(directory):
    """Moves the files of a complete save into place.

    They come as a directory, which one rename makes appear. If the process is killed
    while it moves them, the next one that saves or loads the preset moves the others.

    Raises:
        ValueError: if they cannot be moved.
    """
    saved = directory / SAVED
    if not saved.is_dir():
        return
    try:
        # Another process may move them too, and earlier versions saved no TEXT.
        with contextlib.suppress(FileNotFoundError):
            if not (saved / TEXT).stat().st_size:
                (directory / TEXT).unlink(missing_ok=True)
                (saved / TEXT).unlink()
        for name in (*FILES, TEXT):
            with contextlib.suppress(FileNotFoundError):
                (saved / name).replace(directory / name)
        with contextlib.suppress(FileNotFoundError):
            saved.rmdir()
    except OSError as error:
        raise ValueError(
            f"The preset {directory} was not saved to its end, and cannot be now: "
            f"{error.strerror}. Received: {saved}"
        ) from error


def preset_card(directory: StrPath, address: str | None = None) -> str:
    """Returns the model card of a preset, in Markdown.

    Args:
        directory: path of the preset, or the name of a bundled one.
        address: the address from which `from_preset` loads it. Defaults to the
            directory's name.

    Raises:
        ValueError: if there is no such preset, or it is not a model's.
    """
    directory = preset_directory(directory)
    config = read_json(directory / CONFIG)
    return model_card(
        address or directory.name,
        preset_config.class_name(config),
        preset_config.temporal_compression(config),
        preset_metadata(directory),
    )


def upload_preset(directory: StrPath, address: str) -> str:
    """Uploads a preset to the Hugging Face hub, with a model card made of its metadata.

    Other files in its directory stay here. The repository is created where there is
    none. Log in first, with `hf auth login` or the environment variable `HF_TOKEN`.

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
    card = preset_card(directory, address.partition("@")[0])
    # A directory may hold what is not to be published, such as notes or a `.env`.
    return hub.upload_preset(directory, (*FILES, TEXT), address, card)
