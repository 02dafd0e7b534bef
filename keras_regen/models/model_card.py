"""A preset's model card: what its metadata say, as Markdown."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from keras_regen.bundled import KINDS
from keras_regen.checks import check_whole
from keras_regen.models.config_checks import MAX_COMPRESSION

_CODEC = """\
It encodes {frames} frames into two latent frames, at an eighth of the height and the \
width, and generates the video from them.

```python
import keras_regen as kr

model = kr.{class_name}.from_preset("{name}")
latents = model.encode(video)
video = model.decode(latents)
```"""
_GENERATOR = """\
It generates the latents of videos, two latent frames for each {frames} frames, which \
its codec decodes.

```python
import keras_regen as kr

{load}
```"""
_LOAD_LATENTS = 'model = kr.generation.{class_name}.from_preset("{name}")'
_LOAD_VIDEOS = """\
generator = kr.VideoGenerator.from_preset("{name}")
video = generator.generate({prompt})"""


def model_card(
    name: str, class_name: str, temporal_compression: int, metadata: Mapping[str, Any]
) -> str:
    """Returns a preset's model card: how to load it, and what its metadata say.

    Args:
        name: str. The preset's address, or the name of a bundled one.
        class_name: str. The name of the model's class.
        temporal_compression: int. k.
        metadata: dict. The preset's metadata.

    Raises:
        ValueError: if the class or k is not one that a model has.
    """
    if not class_name.isidentifier():
        raise ValueError(f"Expected the name of a class. Received: {class_name!r}")
    check_whole(1, MAX_COMPRESSION, temporal_compression=temporal_compression)
    generates = class_name in KINDS["generator"]
    front = [
        "library_name: keras-regen",
        f"tags: [keras, video, {'generation' if generates else 'autoencoder'}, "
        "diffusion]",
    ]
    if licence := metadata.get("licence"):
        front.insert(0, f"license: {json.dumps(licence)}")
    parts = [
        "---\n" + "\n".join(front) + "\n---",
        f"# {name.removeprefix('hf://')}",
        f"A preset of keras-regen ({metadata.get('description', 'no description')}). "
        + (_GENERATOR if generates else _CODEC).format(
            frames=temporal_compression + 1,
            class_name=class_name,
            name=name,
            load=_load(name, class_name, metadata),
        ),
    ]
    for key, value in metadata.items():
        if key not in ("description", "licence"):
            parts.append(f"## {_title(key)}\n\n{_markdown(value)}")
    return "\n\n".join(parts) + "\n"


def _load(name, class_name, metadata):
    """Returns how a generator is loaded: with its codec, if it names one."""
    examples = metadata.get("examples")
    prompt = json.dumps(examples[0]) if isinstance(examples, list) and examples else ""
    text = _LOAD_VIDEOS if "codec" in metadata else _LOAD_LATENTS
    return text.format(name=name, class_name=class_name, prompt=prompt)


def _markdown(value: Any) -> str:
    """Returns a value as text, a list or a table."""
    if isinstance(value, dict) and value:
        if all(isinstance(row, dict) for row in value.values()):
            return _table({key: _flattened(row) for key, row in value.items()})
        return _table({key: {"": item} for key, item in value.items()})
    if isinstance(value, list) and value:
        if all(isinstance(row, dict) for row in value):
            # Few and long: one column each.
            runs = {str(i + 1): run for i, run in enumerate(value)}
            keys = dict.fromkeys(key for run in value for key in run)
            return _table(
                {
                    _title(key): {i: run[key] for i, run in runs.items() if key in run}
                    for key in keys
                }
            )
        return "\n".join(f"- {_cell(item)}" for item in value)
    return _cell(value)


def _table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    for key, row in rows.items():
        lines.append([key, *(row.get(name, "") for name in columns)])
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a dict whose dicts are replaced by their items."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{_title(key)}, {name}": item for name, item in value.items()}
        else:
            flat[_title(key)] = value
    return flat


def _cell(value: Any) -> str:
    """Returns a value on one line, as a table needs it."""
    if isinstance(value, (dict, list)):
        value = json.dumps(_rounded(value))
    if isinstance(value, float):
        value = f"{value:.4g}"
    return " ".join(str(value).split()).replace("|", "\\|")


def _rounded(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _title(key: str) -> str:
    return key.replace("_", " ").capitalize()
