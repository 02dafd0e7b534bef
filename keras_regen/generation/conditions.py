"""What a generated video is conditioned by: a label or a text."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from keras import ops

from keras_regen.generation.latent_transformer import LatentTransformer
from keras_regen.types import Tensor


def condition_names(transformer: LatentTransformer) -> tuple[str, ...]:
    """Returns the names of the transformer's inputs that are conditions."""
    if transformer.text_channels is not None:
        return ("text", "text_mask")
    return ("label",) if transformer.num_labels is not None else ()


def conditions(
    transformer: LatentTransformer, inputs: Mapping[str, Tensor], keep: Tensor
) -> dict[str, Tensor]:
    """Returns the condition of a batch, and none for some samples.

    Args:
        transformer: a `LatentTransformer`.
        inputs: dict of tensors, the condition among them.
        keep: bool tensor of shape `(B,)`: which samples have their condition.

    Returns:
        Dict of the transformer's inputs that are conditions.

    Raises:
        ValueError: if one is missing.
    """
    names = condition_names(transformer)
    if missing := [name for name in names if name not in inputs]:
        raise ValueError(
            f"The model is conditioned by {', '.join(names)}. "
            f"Received: inputs without {', '.join(missing)}"
        )
    if "label" in names:
        label = ops.cast(inputs["label"], "int32")
        return {"label": ops.where(keep, label, transformer.num_labels)}
    if "text" in names:
        mask = ops.logical_and(ops.cast(inputs["text_mask"], "bool"), keep[:, None])
        return {"text": inputs["text"], "text_mask": mask}
    return {}


def check_labels(label: np.ndarray, count: int) -> None:
    """Checks labels.

    Args:
        label: NumPy array of shape `(B,)`.
        count: int. How many labels are allowed.

    Raises:
        ValueError: if one is not a whole number from 0 to `count - 1`.
    """
    whole = np.issubdtype(label.dtype, np.integer) and label.ndim == 1
    if not whole or np.any((label < 0) | (label >= count)):
        raise ValueError(
            f"`label` must have whole numbers from 0 to {count - 1}, of shape (B,). "
            f"Received: label={label!r:.200}"
        )


def checked_conditions(
    transformer: LatentTransformer, batch: int, **values: Any
) -> dict[str, np.ndarray]:
    """Checks the condition that a user gives.

    Args:
        transformer: a `LatentTransformer`.
        batch: int. B, the number of videos.
        **values: arrays by the names of the transformer's inputs, or None.

    Returns:
        Dict of NumPy arrays.

    Raises:
        ValueError: if the transformer has another condition, or a value is not as
            `LatentTransformer` takes it.
    """
    values = {name: np.asarray(x) for name, x in values.items() if x is not None}
    names = condition_names(transformer)
    if set(values) != set(names):
        raise ValueError(
            f"The model is conditioned by {', '.join(names) or 'nothing'}."
            f" Received: {', '.join(values) or 'nothing'}"
        )
    for name, value in values.items():
        if len(value) != batch:
            raise ValueError(
                f"`{name}` must have a value for each of {batch} seeds. "
                f"Received: {name}.shape={value.shape}"
            )
    if "label" in values:
        # The last one stands for none.
        check_labels(values["label"], cast(int, transformer.num_labels) + 1)
        values["label"] = values["label"].astype("int32")
    if "text" in values:
        text, mask = values["text"], values["text_mask"]
        channels = transformer.text_channels
        if text.ndim != 3 or text.shape != (*mask.shape, channels):
            raise ValueError(
                f"`text` must have shape (B, L, {channels}), and `text_mask` "
                f"(B, L). Received: text.shape={text.shape}, "
                f"text_mask.shape={mask.shape}"
            )
        if not np.all(np.isfinite(text)):
            raise ValueError("`text` must be finite. Received: NaN or infinite values")
        values = {"text": text.astype("float32"), "text_mask": mask.astype(bool)}
    return values
