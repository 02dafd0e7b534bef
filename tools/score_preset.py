"""Scores a preset on the validation clips, beside two anchors, into its metadata.

    python score_preset.py PRESET DATA/valid [BUNDLE]

With BUNDLE the preset is stored there, its weights as float16, and scored as stored.
"""

import json
import pathlib
import sys

import keras
import numpy as np
from protocol import (
    PROTOCOL,
    hold_first_frame,
    reconstruct,
    score,
    validation_chunks,
    zonal_dct,
)

from keras_regen.models import Regen, preset_metadata
from keras_regen.models.presets import METADATA, preset_directory


def evaluate(regen, chunks):
    """Scores by clip: the preset in one and four steps, and the two anchors."""
    values_per_block = 2 * regen.encoder.latent_channels
    table = {}
    for clip, x in chunks.items():
        table[clip] = {
            "chunks": len(x),
            "one_step": score(x, reconstruct(regen, x, 1)),
            "four_steps": score(x, reconstruct(regen, x, 4)),
            "zonal_dct": score(x, zonal_dct(x, values_per_block)),
            "hold_first_frame": score(x, hold_first_frame(x)),
        }
        print(clip, json.dumps(table[clip]), flush=True)
    mean = {
        method: {
            metric: float(np.mean([row[method][metric] for row in table.values()]))
            for metric in ("psnr", "ssim")
        }
        for method in ("one_step", "four_steps", "zonal_dct", "hold_first_frame")
    }
    print("mean", json.dumps(mean), flush=True)
    return {**table, "mean": mean}


def score_preset(preset, folder):
    """Scores the preset as it is stored, in float32, and rewrites its metadata."""
    keras.config.set_dtype_policy("float32")
    regen = Regen.from_preset(preset)
    chunks = validation_chunks(folder, regen.temporal_compression + 1)
    metadata = {
        **preset_metadata(preset),
        "protocol": PROTOCOL,
        "scores": evaluate(regen, chunks),
    }
    path = preset_directory(preset) / METADATA
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(metadata, indent=2) + "\n")
    temporary.replace(path)


if __name__ == "__main__":
    preset, folder, *bundle = map(pathlib.Path, sys.argv[1:])
    for directory in bundle:
        regen = Regen.from_preset(preset)
        regen.save_to_preset(directory, preset_metadata(preset), dtype="float16")
        preset = directory
    score_preset(preset, folder)
