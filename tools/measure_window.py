"""Measures the PSNR that attention within windows costs.

    KERAS_BACKEND=torch python -m tools.measure_window --data DATA --output windows.json

Every candidate starts from the preset's weights and sees the same clips in the same
order; only the window differs. Each is scored before and after a short training, on
chunks of the validation clips at 128x128 pixels, in one step.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

from keras_regen.data import VideoClips
from keras_regen.models import DiTDecoder, Regen
from keras_regen.sizes import parse_memory
from tools.common import PRESET, SIZE, reconstruct, score, validation_chunks

WINDOWS = {
    "full attention": None,
    "8x8 tokens": (None, 8, 8),
    "4x4 tokens": (None, 4, 4),
    "4 frames of 8x8 tokens": (4, 8, 8),
}


def with_window(preset, window):
    """Returns the preset with another window and the same weights."""
    regen = Regen.from_preset(preset)
    decoder = DiTDecoder.from_config(regen.decoder.get_config() | {"window": window})
    decoder.set_weights(regen.decoder.get_weights())
    parts = regen.get_config() | {"encoder": regen.encoder, "decoder": decoder}
    return Regen.from_config(parts)


def psnr(regen, chunks):
    """Returns the mean PSNR of the clips, in dB."""
    scores = [score(x, reconstruct(regen, x, batch_size=4)) for x in chunks.values()]
    return float(np.mean([s["psnr"] for s in scores]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--preset", default=PRESET)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    args = parser.parse_args()
    keras.config.set_dtype_policy("mixed_bfloat16")
    k = Regen.from_preset(args.preset).temporal_compression
    chunks = validation_chunks(args.data / "valid", k + 1, max_chunks=4)
    clips = VideoClips(
        args.data / "train",
        k + 1,
        size=SIZE,
        batch_size=args.batch_size,
        steps_per_epoch=args.steps,
        zoom=(1.0, 2.0),
        cache_bytes=parse_memory("4GB"),
    )
    rows = {}
    for name, window in WINDOWS.items():
        regen = with_window(args.preset, window)
        rows[name] = {"window": window, "before": psnr(regen, chunks)}
        keras.utils.set_random_seed(0)
        schedule = keras.optimizers.schedules.CosineDecay(
            args.learning_rate, args.steps
        )
        regen.compile(optimizer=keras.optimizers.AdamW(schedule, global_clipnorm=1.0))
        clips.epoch, start = 0, time.time()
        regen.fit(clips, epochs=1, shuffle=False, verbose=2)
        rows[name] |= {
            "steps": args.steps,
            "after": psnr(regen, chunks),
            "seconds": time.time() - start,
        }
        print(f"{name}: {rows[name]}", flush=True)
        args.output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
