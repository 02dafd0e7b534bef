"""Trains a preset, in as many sittings as it takes, and scores it.

    python tools/train_preset.py --data DATA --output regen_tiny_8x8x8

Runs on any backend and device that Keras has. With `--state` the state is kept there
after every epoch, and the same command goes on from it. `--minutes` ends a sitting in
time: the preset is written as far as it got. `--init` starts another from a preset.
"""

import argparse
import math
import pathlib
import platform
import time

import keras
from clips import Bucket, RandomClips, videos_in
from score_preset import score_preset

from keras_regen.models import Regen, preset_metadata

WARMUP_EPOCHS = 5
START = time.time()


class Sitting(keras.callbacks.Callback):
    """One sitting of a training: ends it in time, and keeps what it reached.

    The learning rate falls as a half cosine over the steps planned or the minutes
    given, whichever runs out first, so that every sitting ends in a good model.
    Compilation, in the first epoch, does not count.
    """

    def __init__(self, clips, output, learning_rate, epochs, minutes):
        super().__init__()
        self.clips = clips
        self.output = output
        self.peak = learning_rate
        self.epochs = epochs
        self.deadline = START + 60 * minutes
        self.epochs_here = 0

    def on_epoch_begin(self, epoch, logs=None):
        if self.epochs_here <= 1:
            self.start = time.time()
        self.clips.epoch = epoch
        elapsed = (time.time() - self.start) / (self.deadline - self.start)
        progress = min(1.0, max(epoch / self.epochs, elapsed))
        rate = self.peak * max(0.01, 0.5 * (1 + math.cos(math.pi * progress)))
        warmup = (self.epochs_here + 1) / WARMUP_EPOCHS
        self.model.optimizer.learning_rate = rate * min(1.0, warmup)

    def on_epoch_end(self, epoch, logs=None):
        self.last_epoch = epoch
        self.epochs_here += 1
        if self.epochs_here % 25 == 0:
            self.model.save_to_preset(self.output, dtype="float16")
        if time.time() > self.deadline:
            self.model.stop_training = True


def hardware():
    """The devices that Keras trains on, in words."""
    if keras.backend.backend() == "jax":
        import jax

        return f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--state", type=pathlib.Path, help="where a sitting is kept")
    parser.add_argument("--init", help="preset whose weights to start from")
    parser.add_argument("--architecture", default="tiny")
    parser.add_argument("--temporal-compression", type=int, default=8)
    parser.add_argument("--steps", type=int, default=24000)
    parser.add_argument("--steps-per-epoch", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=float, default=0.05, help="share of batches")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--margin", type=int, default=2, help="frames beyond the chunk")
    parser.add_argument("--decoder-only", action="store_true", help="latents stay")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--ema-momentum", type=float, default=0.998)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--exclude", nargs="*", default=["kivy_cityCC0"])
    parser.add_argument("--notes", default="", help="for the preset's metadata")
    args = parser.parse_args()
    keras.config.set_dtype_policy("mixed_bfloat16")
    k = args.temporal_compression

    paths = [p for p in videos_in(args.data / "train") if p.stem not in args.exclude]
    batch = args.batch_size
    clips = RandomClips(
        paths,
        [
            Bucket(k + 1, args.size, batch, 1 - args.images, args.margin),
            Bucket(1, args.size, k * batch, args.images),
        ],
        args.steps_per_epoch,
        workers=8,
        max_queue_size=24,
    )
    print(f"{len(paths)} videos, {clips.num_frames} frames", flush=True)

    if args.init:
        regen = Regen.from_preset(args.init, k)
        sittings = preset_metadata(args.init)["training"]
    else:
        regen = Regen.from_architecture(args.architecture, k)
        sittings = []
    regen.encoder.trainable = not args.decoder_only
    regen.compile(
        optimizer=keras.optimizers.AdamW(
            args.learning_rate,
            weight_decay=0.01,
            beta_2=0.99,
            global_clipnorm=1.0,
            use_ema=True,
            ema_momentum=args.ema_momentum,
        )
    )
    epochs = args.steps // args.steps_per_epoch
    sitting = Sitting(clips, args.output, args.learning_rate, epochs, args.minutes)
    callbacks = [sitting]
    if args.state:
        callbacks.append(
            keras.callbacks.BackupAndRestore(args.state, delete_checkpoint=False)
        )
    regen.fit(
        clips,
        epochs=epochs,
        verbose=2,
        callbacks=callbacks,
    )

    minutes = (time.time() - sitting.start) / 60
    steps = (sitting.last_epoch + 1) * args.steps_per_epoch
    metadata = {
        "description": f"{args.architecture}, 8x8x{k}, trained on films and footage",
        "notes": args.notes,
        "licence": "Apache-2.0",
        "data": sorted(p.stem for p in paths),
        "training": [
            *sittings,
            {
                "steps": steps,
                "clips": round(steps * batch * (1 - args.images)),
                "images": round(steps * batch * k * args.images),
                "batch_size": batch,
                "size": args.size,
                "margin": args.margin,
                "decoder_only": args.decoder_only,
                "learning_rate": args.learning_rate,
                "dtype": "mixed_bfloat16",
                "backend": keras.backend.backend(),
                "hardware": hardware(),
                "minutes": round(minutes, 1),
            },
        ],
    }
    regen.save_to_preset(args.output, metadata, dtype="float16")
    print(f"{args.output} written", flush=True)
    score_preset(args.output, args.data / "valid")


if __name__ == "__main__":
    main()
