"""Checks of what a generator is trained on."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_regen.generation.conditions import check_labels, condition_names
from keras_regen.latents import LatentClips


def check_training_data(model: Any, data: Any) -> None:
    """Checks data for a `LatentDiffusion`, as far as they can be known beforehand.

    Args:
        model: a `LatentDiffusion`.
        data: what `fit` takes: the labels of a dict and a `LatentClips` are checked.

    Raises:
        ValueError: if the model cannot be trained on them.
    """
    num_labels = model.transformer.num_labels
    if isinstance(data, LatentClips):
        _check_clips(model, data)
    elif isinstance(data, Mapping) and num_labels is not None:
        label = data.get("label")
        if isinstance(label, np.ndarray):
            check_labels(label, num_labels + 1)


def _check_clips(model, clips):
    is_plain = np.all(np.array(model.mean) == 0) and np.all(np.array(model.std) == 1)
    if clips.normalize and not is_plain:
        raise ValueError(
            "The model normalises latents by its `mean` and `std`: give it "
            "`LatentClips(normalize=False)`. Received: normalize=True"
        )
    transformer, codec, text = model.transformer, clips.codec, clips.text
    pairs = {
        "temporal_compression": (
            model.temporal_compression,
            codec["temporal_compression"],
        )
    }
    if None not in (model.encoder_id, codec["encoder_id"]):
        pairs["encoder_id"] = model.encoder_id, codec["encoder_id"]
    names = condition_names(transformer)
    if "label" in names and clips.condition == "label":
        pairs["num_labels"] = transformer.num_labels, len(clips.labels)
    if "text" in names and text is not None:
        pairs["text_channels"] = transformer.text_channels, text.channels
        if model.text_encoder_id is not None:
            pairs["text_encoder_id"] = model.text_encoder_id, text.encoder_id
    for name, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise ValueError(
                f"The model needs latents of {name}={ours}. "
                f"Received: {name}={theirs}, in {clips.directory}"
            )
    if clips.condition is not None and not names:
        warnings.warn(
            f"The model has no condition, so the {clips.condition}s of the latents are "
            "left out. `LatentClips(condition=None)` does not read them.",
            stacklevel=4,
        )
