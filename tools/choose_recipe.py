"""Measures which objective to train with: every recipe is trained at equal compute.

    python -m tools.choose_recipe --data DATA --output recipes.json

Every candidate is the same network, with the same initialisation, on the same clips in
the same order; only the diffusion, or the one detail that is named, differs. Candidates
are scored by the PSNR of the validation clips, in one step and in four.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

from keras_regen import diffusion
from keras_regen.data import VideoClips
from keras_regen.models import DiTDecoder, Regen, VideoEncoder, architecture
from keras_regen.sizes import parse_memory
from tools.common import reconstruct, score, validation_chunks

# Name: (prediction, path, weighting, share at t = 1, changes to either part).
RECIPES = {
    "epsilon (paper)": ("epsilon", "cosine", "prediction", 0.0, {}),
    "velocity": ("velocity", "linear", "prediction", 0.2, {}),
    "v": ("v", "cosine", "prediction", 0.2, {}),
    "x0, velocity loss": ("sample", "linear", "velocity", 0.2, {}),
    "x0, x0 loss": ("sample", "linear", "sample", 0.2, {}),
    "x0, x0 loss, half": ("sample", "linear", "sample", 0.5, {}),
    "x0, x0 loss, cosine, half": ("sample", "cosine", "sample", 0.5, {}),
    "x0, regression": ("sample", "linear", "sample", 1.0, {}),
    "x0, x0 loss, half, no mixing": (
        "sample", "linear", "sample", 0.5, {"decoder": {"mixing_size": None}},
    ),
    "x0, x0 loss, half, in-context": (
        "sample", "linear", "sample", 0.5,
        {"decoder": {"mixing_size": None, "conditioning": "in_context"}},
    ),
    "x0, x0 loss, cosine, half, layer norm": (
        "sample", "cosine", "sample", 0.5,
        {"encoder": {"regularization": "layer_norm"}},
    ),
    "x0, x0 loss, cosine, half, KL 1e-5": (
        "sample", "cosine", "sample", 0.5,
        {"encoder": {"regularization": "kl", "kl_weight": 1e-5}},
    ),
    "x0, x0 loss, cosine, half, KL 1e-3": (
        "sample", "cosine", "sample", 0.5,
        {"encoder": {"regularization": "kl", "kl_weight": 1e-3}},
    ),
}  # fmt: skip


def build(recipe, k, seed):
    prediction, path, weighting, share, changes = recipe
    config = architecture("tiny")
    keras.utils.set_random_seed(seed)
    return Regen(
        VideoEncoder(k, **config["encoder"] | changes.get("encoder", {})),
        DiTDecoder(k, **config["decoder"] | changes.get("decoder", {})),
        diffusion_path=path,
        prediction=prediction,
        weighting=weighting,
        time_distribution=diffusion.UniformTimes(share),
        seed=seed,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipes", nargs="*", type=int, help="indices; all if absent")
    args = parser.parse_args()
    keras.config.set_dtype_policy("mixed_bfloat16")
    k, epochs = 8, 5
    chunks = validation_chunks(args.data / "valid", k + 1, max_chunks=8)
    clips = VideoClips(
        args.data / "train",
        k + 1,
        size=64,
        batch_size=args.batch_size,
        steps_per_epoch=args.steps // epochs,
        strides=(1, 2),
        zoom=(2.0, 4.0),
        seed=args.seed,
        cache_bytes=parse_memory("8GB"),
    )
    names = list(RECIPES)
    rows = {}
    for name in [names[i] for i in args.recipes or range(len(names))]:
        regen = build(RECIPES[name], k, args.seed)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            args.steps - args.steps // 10,
            warmup_target=args.learning_rate,
            warmup_steps=args.steps // 10,
        )
        regen.compile(
            optimizer=keras.optimizers.AdamW(
                schedule, weight_decay=0.01, beta_2=0.99, global_clipnorm=1.0
            )
        )
        clips.epoch = 0
        start = time.time()
        history = regen.fit(clips, epochs=epochs, shuffle=False, verbose=2)
        seconds = time.time() - start
        row = {"loss": history.history["loss"][-1], "seconds": seconds}
        for num_steps in (1, 4):
            scores = {
                clip: score(x, reconstruct(regen, x, num_steps))
                for clip, x in chunks.items()
            }
            row[f"psnr_{num_steps}"] = float(
                np.mean([s["psnr"] for s in scores.values()])
            )
            row[f"scores_{num_steps}"] = scores
        rows[name] = row
        print(
            f"{name}: {row['psnr_1']:.2f} dB in 1 step, {row['psnr_4']:.2f} in 4, "
            f"{seconds:.0f} s",
            flush=True,
        )
        args.output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
