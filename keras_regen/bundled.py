"""The presets that come with the package, found without Keras."""

import json
import pathlib

PRESETS = pathlib.Path(__file__).parent / "presets"
# The names of the models of each kind of presets. Codecs encode and decode videos,
# generators make latents.
KINDS = {
    "codec": ("ConvAutoencoder", "Regen"),
    "generator": ("LatentDiffusion",),
}


def bundled_presets(kind: str = "codec") -> list[str]:
    """Returns the names of the presets that come with the package, sorted.

    Args:
        kind: `"codec"`, for models that encode and decode videos, or `"generator"`, for
            models that generate latents. Defaults to `"codec"`.
    """
    return sorted(
        path.parent.name
        for path in PRESETS.glob("*/config.json")
        if json.loads(path.read_text())["class_name"] in KINDS[kind]
    )


def every_bundled_preset() -> dict[str, pathlib.Path]:
    """Returns the directories of the presets of all kinds, by their names."""
    return {name: PRESETS / name for kind in KINDS for name in bundled_presets(kind)}
