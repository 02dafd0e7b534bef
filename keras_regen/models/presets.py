"""Presets: trained models as plain directories."""

import json
import pathlib
import shutil
import tempfile

import h5py
import keras

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
METADATA = "metadata.json"
BUNDLED = pathlib.Path(__file__).parents[1] / "presets"
HUB_PREFIX = "hf://"


def bundled_presets():
    """Names of the presets that come with the package, sorted."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))


def preset_directory(preset):
    """The directory of a preset.

    Args:
        preset: the name of a bundled preset, a directory, or `hf://user/name`, which is
            downloaded to the hub's cache.

    Raises:
        ValueError: if there is no such preset.
        ImportError: for `hf://` without huggingface_hub installed.
    """
    if str(preset).startswith(HUB_PREFIX):
        directory = _download(str(preset).removeprefix(HUB_PREFIX))
    elif preset in bundled_presets():
        directory = BUNDLED / preset
    else:
        directory = pathlib.Path(preset)
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            raise ValueError(
                "A preset is a bundled name "
                f"({', '.join(bundled_presets()) or 'none is bundled'}), a directory "
                f"with {CONFIG} and {WEIGHTS}, or {HUB_PREFIX}user/name. "
                f"Received: {str(preset)!r}, which has no {name}"
            )
    return directory


def preset_metadata(preset):
    """The `metadata.json` of a preset, as a dict; empty if it has none."""
    path = preset_directory(preset) / METADATA
    return json.loads(path.read_text()) if path.is_file() else {}


def load_model(preset, temporal_compression=None, dtype=None, remat=False):
    """Loads a trained model, whichever it is: a `Regen` or a `ConvAutoencoder`.

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
        # A preset does not say how to run: that is the caller's choice.
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
    model = keras.saving.deserialize_keras_object(config)
    if not isinstance(model, cls):
        raise ValueError(
            f"Expected the preset of a `{cls.__name__}`. "
            f"Received: {str(preset)!r}, of a `{type(model).__name__}`"
        )
    try:
        model.load_weights(directory / WEIGHTS)
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{directory / WEIGHTS} does not hold the preset's weights: {error}"
        ) from error
    model.preset = str(preset)
    return model


def save_preset(model, directory, metadata=None, dtype="float32"):
    """See `Regen.save_to_preset`."""
    if dtype not in ("float32", "float16"):
        raise ValueError(
            f'`dtype` must be "float32" or "float16". Received: dtype={dtype!r}'
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
        model.save_weights(temporary / WEIGHTS)
        _repack(temporary / WEIGHTS, dtype)
        (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        (temporary / METADATA).write_text(json.dumps(metadata or {}, indent=2) + "\n")
        for name in (WEIGHTS, METADATA, CONFIG):
            shutil.move(temporary / name, directory / name)


def _repack(path, dtype):
    """Rewrites a weights file without the optimiser, floats stored as `dtype`."""
    packed = path.with_name("packed.h5")
    with h5py.File(path) as source, h5py.File(packed, "w") as target:
        target.attrs.update(source.attrs)

        def copy(name, item):
            if name.split("/")[0] == "optimizer":
                return
            if isinstance(item, h5py.Group):
                target.require_group(name).attrs.update(item.attrs)
            else:
                values = item[()]
                if item.dtype.kind == "f":
                    # Loading casts back. By NumPy: HDF5's own conversion to float16
                    # halves what rounds up to a power of two.
                    values = values.astype(dtype)
                # Without loss, and read without being told; numbers cannot be.
                compress = (
                    {"compression": "gzip", "shuffle": True} if values.ndim else {}
                )
                target.create_dataset(name, data=values, **compress)

        source.visititems(copy)
    packed.replace(path)


def _download(name):
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f"{HUB_PREFIX} presets need huggingface_hub: pip install keras-regen[hub]"
        ) from error
    try:
        return pathlib.Path(
            snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS, METADATA])
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The preset {HUB_PREFIX}{name} could not be downloaded: {error}"
        ) from error
