"""Scores a preset on the validation clips, beside two anchors, into its metadata.

python score_preset.py PRESET DATA/valid
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


def latent_statistics(regen, chunks):
    """Mean and standard deviation of each latent channel, content then motion."""
    latents = np.concatenate([regen.encode(x) for x in chunks.values()])
    return {
        "mean": latents.mean(axis=(0, 2, 3)).tolist(),
        "std": latents.std(axis=(0, 2, 3)).tolist(),
    }


def score_preset(preset, folder):
    """Scores the preset as it is stored, in float32, and rewrites its metadata."""
    keras.config.set_dtype_policy("float32")
    regen = Regen.from_preset(preset)
    chunks = validation_chunks(folder, regen.temporal_compression + 1)
    metadata = {
        **preset_metadata(preset),
        "latent_statistics": latent_statistics(regen, chunks),
        "protocol": PROTOCOL,
        "scores": evaluate(regen, chunks),
    }
    path = preset_directory(preset) / METADATA
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(metadata, indent=2) + "\n")
    temporary.replace(path)


if __name__ == "__main__":
    score_preset(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
