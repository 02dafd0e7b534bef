"""What a generated video is conditioned by: a label or a text."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from keras import ops

from keras_regen.checks import check_finite
from keras_regen.generation.latent_transformer import LatentTransformer
from keras_regen.text import TextEncoder, encode_texts
from keras_regen.types import Tensor

# Texts are padded to a multiple of as many tokens.
_TEXT_BLOCK = 16


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
        check_finite(text, "`text` must be finite.")
        values = {"text": text.astype("float32"), "text_mask": mask.astype(bool)}
    return values


def read_condition(
    transformer: LatentTransformer,
    prompt: str | None,
    label: str | int | None,
    text_encoder: TextEncoder | None,
    label_names: Sequence[str] | None,
) -> dict[str, np.ndarray]:
    """Returns the condition of one video.

    Args:
        transformer: a `LatentTransformer`.
        prompt: str or None, for a model of texts without a text.
        label: str, int or None, for a model of labels without a label.
        text_encoder: a `TextEncoder` or None.
        label_names: sequence of str, or None if the labels have no names.

    Returns:
        Dict of NumPy arrays, as `checked_conditions` returns it.

    Raises:
        ValueError: if the model has another condition, or the text or the label is not
            known.
    """
    if prompt is not None and label is not None:
        raise ValueError(
            "Give a prompt or a label, not both. "
            f"Received: prompt={prompt!r}, label={label!r}"
        )
    names, count = list(label_names or ()), transformer.num_labels
    values = {}
    if label is not None:
        values = {"label": np.array([_label_number(label, names, count)])}
    elif prompt is not None:
        values = _encoded(transformer, prompt, text_encoder, _shown(names, count))
    elif count is not None:
        # The number of labels stands for none.
        values = {"label": np.array([count])}
    elif transformer.text_channels is not None:
        # No token counts.
        values = {
            "text": np.zeros((1, _TEXT_BLOCK, transformer.text_channels), "float32"),
            "text_mask": np.zeros((1, _TEXT_BLOCK), bool),
        }
    return checked_conditions(transformer, 1, **values)


def _encoded(transformer, prompt, text_encoder, labels):
    """Returns the embeddings of a text."""
    if transformer.text_channels is None:
        raise ValueError(
            "The model was not trained on texts, but on "
            f"{labels or 'no condition'}. Received: prompt={prompt!r}"
        )
    if text_encoder is None:
        raise ValueError(
            "To read a text, give `text_encoder`: the preset has no embeddings. "
            f"Received: prompt={prompt!r}"
        )
    text, mask = encode_texts(text_encoder, [prompt])
    # Few shapes, each of which is compiled.
    missing = -mask.shape[1] % _TEXT_BLOCK
    return {
        "text": np.pad(text, ((0, 0), (0, missing), (0, 0))),
        "text_mask": np.pad(mask, ((0, 0), (0, missing))),
    }


def _label_number(label, names, count):
    if label in names:
        return names.index(label)
    # Among names, a number would be a wrong name.
    if not names and isinstance(label, str) and label.isdecimal():
        label = int(label)
    is_whole = isinstance(label, int | np.integer)
    if is_whole and (count is None or 0 <= label < count):
        return label
    raise ValueError(
        f"The labels are {_shown(names, count) or 'none'}. Received: label={label!r}"
    )


def _shown(names, count):
    return ", ".join(names) or (count and f"labels from 0 to {count - 1}")
