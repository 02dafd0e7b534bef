"""Measures which recipe to train with: every candidate is trained at equal compute.

    python -m tools.choose_recipe DATA OUT --seeds 0 1 2

Every candidate is the same network, trained on the same clips of DATA/train and
DATA/train2 in the same order. A seed chooses the initialisation, the
clips, the diffusion times and the noise. Only the named detail differs. A candidate
whose step takes more operations takes fewer steps. All are scored on chunks of
DATA/valid and DATA/valid2. OUT has one JSON file for each run, and a run that has one
is not repeated. OUT is for one DATA and one set of options, other than the recipes and
the seeds.
"""

import argparse
import dataclasses
import json
import pathlib
import time
import warnings

import keras
import numpy as np
from keras import ops

from keras_regen import diffusion, metrics
from keras_regen.atomic_output import AtomicOutput
from keras_regen.batches import Batches
from keras_regen.data import VideoClips
from keras_regen.models import (
    ARCHITECTURES,
    DiTDecoder,
    Regen,
    VideoEncoder,
    training_operations,
)
from keras_regen.pixels import to_unit_range
from tools.common import (
    check_continues,
    log,
    print_table,
    reconstruct,
    save_json,
    score,
    validation_chunks,
)

K = 8
NETWORKS = {
    # `small`, with a third of its width.
    "nano": {
        "encoder": {
            "stem_patch_size": 4,
            "widths": (32, 64, 128),
            "num_blocks": (1,),
            "kernel_sizes": ((1, 3, 3), (3, 1, 1)),
        },
        "decoder": {
            "units": 128,
            "depth": 4,
            "num_heads": 2,
            "mixing_size": 3,
            "siren_features": 128,
            "window": (None, 8, 8),
            "patch_overlap": 4,
        },
    },
    **ARCHITECTURES,
}
# Matrices that Muon leaves to AdamW: embeddings, modulations and the output.
NOT_FOR_MUON = ["patch", "siren", "positional", "timestep", "modulation"]
EMA_MOMENTUM = 0.999
# The scores in the table that is printed. The files have more.
COLUMNS = (
    *("psnr_1", "psnr_4", "fvd_1", "fvd_4"),
    *("high_content", "high_motion", "psnr_halved"),
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A candidate. The defaults are the recipe of the bundled presets."""

    prediction: str = "sample"
    path: str = "cosine"
    weighting: str = "sample"
    share_at_1: float = 0.5
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    encoder: dict = dataclasses.field(default_factory=dict)
    decoder: dict = dataclasses.field(default_factory=dict)
    scale_equivariance: float = 0.0


RECIPES = {
    "default": Recipe(),
    "AdamW, 2e-3": Recipe(learning_rate=2e-3),
    "Muon, 1e-3": Recipe(optimizer="muon"),
    "Muon, 2e-3": Recipe(optimizer="muon", learning_rate=2e-3),
    "Muon, 4e-3": Recipe(optimizer="muon", learning_rate=4e-3),
    "none at t = 1": Recipe(share_at_1=0.0),
    "a fifth at t = 1": Recipe(share_at_1=0.2),
    "four fifths at t = 1": Recipe(share_at_1=0.8),
    "no KL": Recipe(encoder={"regularization": None}),
    "scale equivariance, 0.25": Recipe(scale_equivariance=0.25),
    # Objectives.
    "regression": Recipe(path="linear", share_at_1=1.0),
    "linear path": Recipe(path="linear"),
    "velocity loss": Recipe(weighting="velocity"),
    "velocity": Recipe("velocity", "linear", "prediction", 0.2),
    "v": Recipe("v", "cosine", "prediction", 0.2),
    "epsilon (paper)": Recipe("epsilon", "cosine", "prediction", 0.0),
    # Parts.
    "no mixing": Recipe(decoder={"mixing_size": None}),
    "no overlap": Recipe(decoder={"patch_overlap": 0}),
    "in-context": Recipe(
        decoder={"mixing_size": None, "window": None, "conditioning": "in_context"}
    ),
    "layer norm": Recipe(encoder={"regularization": "layer_norm"}),
}


class ScaleEquivariantRegen(Regen):
    """Also learns to decode halved latents into the halved video.

    Reference:
        Skorokhodov et al. 2025, *Improving the Diffusability of Autoencoders*
        (arXiv 2502.14831), section 4.
    """

    equivariance_weight = 0.0

    def compute_loss(self, x=None, y=None, y_pred=None, *args, **kwargs):
        loss = super().compute_loss(x, y, y_pred, *args, **kwargs)
        video, latents = halved(to_unit_range(x)), halved(y_pred)
        smaller = super().compute_loss(video, None, latents, *args, **kwargs)
        return loss + self.equivariance_weight * smaller


def halved(x):
    """Averages blocks of 2x2 of `(B, T, H, W, C)`."""
    batch, frames, height, width, channels = x.shape
    x = ops.reshape(x, (batch, frames, height // 2, 2, width // 2, 2, channels))
    return ops.mean(x, axis=(3, 5))


# === Training ===


def build(recipe, network, seed):
    network = NETWORKS[network]
    keras.utils.set_random_seed(seed)
    model = (ScaleEquivariantRegen if recipe.scale_equivariance else Regen)(
        VideoEncoder(
            K, **network["encoder"] | {"regularization": "kl"} | recipe.encoder
        ),
        DiTDecoder(K, **network["decoder"] | recipe.decoder),
        diffusion_path=recipe.path,
        prediction=recipe.prediction,
        weighting=recipe.weighting,
        time_distribution=diffusion.UniformTimes(recipe.share_at_1),
        seed=seed,
    )
    model.equivariance_weight = recipe.scale_equivariance
    return model


def optimizer(recipe, steps):
    warmup = steps // 10
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=recipe.learning_rate, warmup_steps=warmup
    )
    if recipe.optimizer == "adamw":
        return keras.optimizers.AdamW(
            schedule, weight_decay=0.01, beta_2=0.99, global_clipnorm=1.0
        )
    return keras.optimizers.Muon(
        schedule,
        weight_decay=0.01,
        adam_weight_decay=0.01,
        adam_beta_2=0.99,
        global_clipnorm=1.0,
        exclude_layers=NOT_FOR_MUON,
    )


def equal_steps(recipe, network, steps, size):
    """Returns the steps that take as many operations as `steps` of the default."""

    def operations(recipe):
        model, shape = build(recipe, network, 0), (1, K + 1, size, size)
        count = training_operations(model, shape)
        if recipe.scale_equivariance:
            halved_shape = (1, K + 1, size // 2, size // 2)
            count += training_operations(model, halved_shape)
        return count

    return round(steps * operations(Recipe()) / operations(recipe))


def averages(recipe, steps):
    """Returns the momentum at a step of each kind of averaged weights."""
    # The rule of `keras-regen train`.
    lowered = {"lowered": lambda step: min(EMA_MOMENTUM, 1 - 10 / max(steps, 20))}
    if recipe != Recipe():
        return lowered
    return {
        "none": lambda step: 0.0,
        "constant": lambda step: EMA_MOMENTUM,
        "warm-up": lambda step: min(EMA_MOMENTUM, (1 + step) / (10 + step)),
        **lowered,
    }


def train(recipe, network, clips, steps, batch_size, seed):
    """Trains a model. Returns it and, by name, its averaged weights."""
    model = build(recipe, network, seed)
    model.compile(optimizer=optimizer(recipe, steps))
    variables = model.trainable_variables
    momentum = averages(recipe, steps)
    averaged = {
        name: [ops.convert_to_numpy(v).copy() for v in variables] for name in momentum
    }
    for step in range(steps):
        model.train_on_batch(clips[step * batch_size : (step + 1) * batch_size])
        values = [ops.convert_to_numpy(v) for v in variables]
        for name, weights in averaged.items():
            m = momentum[name](step)
            for weight, value in zip(weights, values, strict=True):
                weight *= m
                weight += (1 - m) * value
    return model, averaged


def training_clips(data, path, count, size, seed):
    """Reads the clips of a seed once, and keeps them in a file."""
    if not path.exists():
        clips = VideoClips(
            [str(data / "train"), str(data / "train2")],
            K + 1,
            size=size,
            batch_size=64,
            steps_per_epoch=-(-count // 64),
            strides=(1, 2),
            zoom=(2.0, 4.0),
            seed=seed,
        )
        batches = [batch[0] if isinstance(batch, tuple) else batch for batch in clips]
        with AtomicOutput(path, "clips") as output:
            np.save(output.temporary, np.concatenate(batches)[:count])
    return np.load(path, mmap_mode="r")


# === Scores ===


def scores(model, averaged, chunks, features):
    """Returns the scores of one run, as a dict of numbers."""
    row = {}
    # The last are the ones that all other scores are of.
    for name in averaged:
        for variable, value in zip(
            model.trainable_variables, averaged[name], strict=True
        ):
            variable.assign(value)
        row[f"psnr, averages: {name}"], made = reconstructions(model, chunks, 1)
    row["psnr_1"] = row["psnr, averages: lowered"]
    row["psnr_4"], made_4 = reconstructions(model, chunks, 4)
    videos = np.concatenate(list(chunks.values()))
    if features:
        real = features(videos)
        for num_steps, clips in {1: made, 4: made_4}.items():
            distance = metrics.FrechetVideoDistance(features)
            distance.update_features(real, features(clips))
            row[f"fvd_{num_steps}"] = distance.result()
    return row | latent_scores(model, videos)


def reconstructions(model, chunks, num_steps):
    """Returns the PSNR, mean of the videos, and all clips."""
    made = {x: reconstruct(model, c, num_steps, 4) for x, c in chunks.items()}
    psnr = np.mean([score(chunks[x], made[x])["psnr"] for x in chunks])
    return float(psnr), np.concatenate(list(made.values()))


def latent_scores(model, videos):
    """Scores how smooth the latents are, and what their halves decode to."""
    latents = Batches(model.encode, 4)(videos)
    spectrum = np.abs(np.fft.fft2(latents, axes=(2, 3))) ** 2
    frequency = np.abs(np.fft.fftfreq(latents.shape[2]))
    high = np.maximum(frequency[:, None], frequency[None]) > 0.25
    spectrum = spectrum.mean((0, 4)) / spectrum.mean((0, 2, 3, 4))[:, None, None]
    decoded = Batches(model.decode, 4)(ops.convert_to_numpy(halved(latents)))
    small = ops.convert_to_numpy(halved(to_unit_range(videos)))
    return {
        "std": float(latents.std()),
        "high_content": float(spectrum[0][high].sum() / spectrum[0].sum()),
        "high_motion": float(spectrum[1][high].sum() / spectrum[1].sum()),
        "psnr_halved": float(metrics.psnr(small, decoded).mean()),
    }


# === Command line ===


def print_results(directory, names):
    """Prints the mean and the standard deviation of the seeds of each recipe."""
    paths = sorted(directory.glob("*_*.json"))
    runs = [json.loads(path.read_text()) for path in paths]
    rows = []
    for name in names:
        scores = [run["scores"] for run in runs if run["recipe"] == name]
        cells = [
            f"{np.mean(values):.2f} ± {np.std(values):.2f}"
            if (values := [x[column] for x in scores if column in x])
            else ""
            for column in COLUMNS
        ]
        rows.append([name, len(scores), *cells])
    print_table(["recipe", "seeds", *COLUMNS], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--network", choices=NETWORKS, default="nano")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=[*RECIPES])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--fvd", action="store_true", help="slow on a CPU")
    parser.add_argument("--size", type=int, default=48)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "A Frechet video distance", UserWarning)
    args.output.mkdir(parents=True, exist_ok=True)
    settings = {
        name: str(value)
        for name, value in vars(args).items()
        if name not in ("output", "recipes", "seeds")
    }
    check_continues(args.output / "settings.json", settings)
    # Of all recipes, so that the clips do not depend on which ones are chosen.
    steps = {
        name: equal_steps(recipe, args.network, args.steps, args.size)
        for name, recipe in RECIPES.items()
    }
    chunks = validation_chunks(args.data / "valid", K + 1, max_chunks=4)
    chunks |= validation_chunks(args.data / "valid2", K + 1, max_chunks=1)
    features = metrics.I3DFeatures(batch_size=1) if args.fvd else None
    for seed in args.seeds:
        clips = training_clips(
            args.data,
            args.output / f"clips_{seed}.npy",
            max(steps.values()) * args.batch_size,
            args.size,
            seed,
        )
        for name in args.recipes:
            slug = "".join(c if c.isalnum() else "_" for c in name)
            path = args.output / f"{slug}_{seed}.json"
            if path.exists():
                continue
            start = time.time()
            recipe = RECIPES[name]
            model, averaged = train(
                recipe, args.network, clips, steps[name], args.batch_size, seed
            )
            seconds = time.time() - start
            row = scores(model, averaged, chunks, features)
            save_json(
                path,
                {
                    "recipe": name,
                    "seed": seed,
                    "steps": steps[name],
                    "seconds": round(seconds),
                    "scores": row,
                },
            )
            log(f"{name}, seed {seed}: {row['psnr_1']:.3f} dB, {seconds:.0f} s")
    print_results(args.output, args.recipes)


if __name__ == "__main__":
    main()
