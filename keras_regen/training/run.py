"""One training run, from its settings to a preset."""

import dataclasses
import importlib.util
import json
import pathlib

import keras
import numpy as np
import rich.console

from keras_regen.atomic_output import AtomicOutput
from keras_regen.data import Bucket, VideoClips
from keras_regen.hardware import hardware
from keras_regen.latents import LatentStatistics
from keras_regen.models import (
    ConvAutoencoder,
    Regen,
    assign_averages,
    load_model,
    preset_metadata,
    transfer_weights,
)
from keras_regen.sizes import parse_memory
from keras_regen.training import distribution
from keras_regen.training.checkpoint import Checkpoint
from keras_regen.training.config import TrainingConfig
from keras_regen.training.gradient_guard import GradientGuard
from keras_regen.training.history_plot import plot_history
from keras_regen.training.progress import Progress
from keras_regen.training.sample_monitor import FPS, SampleMonitor
from keras_regen.training.skipped_steps import SkippedSteps
from keras_regen.video import VideoWriter

# What of a run's output has which name.
CONFIG, CHECKPOINT, HISTORY = "config.toml", "checkpoint.h5", "history.json"
PRESET, PLOT, LOG, VIDEO = "preset", "history.png", "tensorboard", "samples.mp4"
# What writes them, beside the package's own dependencies.
EXTRAS = ("matplotlib", "tensorboardX", "tomli_w")
# Clips that latent statistics are taken from.
STATISTICS_CLIPS, STATISTICS_BATCH = 512, 8
# The seed of clips that are drawn for other ends than training.
HELD_OUT_SEED = 2503


def train(config, output, console=None):
    """Trains a model as configured, or goes on with it.

    Writes, in the directory `output`: `config.toml`, every setting; `checkpoint.h5`,
    after every epoch, from which the same call goes on after whatever ended it;
    `history.json`, the logs of every epoch; `history.png`; `samples.mp4`, validation
    clips beside what one step makes of them; `tensorboard/`; and `preset/`, with the
    averaged weights and the statistics of the latents.

    Args:
        config: a `TrainingConfig`.
        output: path of the directory.
        console: `rich.console.Console` or None, for standard output.

    Returns:
        The trained `Regen`.

    Raises:
        ImportError: if what the extra `train` installs is missing.
        ValueError: if the settings cannot be met, or are not those that the run was
            begun with.
        FloatingPointError: if the gradients stay infinite or NaN.
    """
    missing = [name for name in EXTRAS if not importlib.util.find_spec(name)]
    if missing:
        raise ImportError(
            f"Training runs need {', '.join(missing)}: pip install keras-regen[train]"
        )
    run = _TrainingRun(config, pathlib.Path(output), console)
    with distribution.scope(config.model_parallel):
        return run()


def untrained_model(config, **how):
    """The model that a configuration asks for, as initialised.

    Args:
        config: a `TrainingConfig`.
        **how: `dtype` and `remat` of `from_architecture`.
    """
    if config.decoder == "conv":
        cls = ConvAutoencoder
    else:
        cls = Regen
        conditioning = (
            "in_context" if config.decoder == "in_context" else "content_aware"
        )
        how |= {"seed": config.seed, "conditioning": conditioning}
    if config.regularization != "none":
        how |= {"regularization": config.regularization}
    return cls.from_architecture(config.size, config.temporal_compression, **how)


class _TrainingRun:
    """See `train`."""

    def __init__(self, config, directory, console=None):
        self.config = config
        self.directory = directory
        self.console = console or rich.console.Console()

    def __call__(self):
        if self.config.samples and not self._alone:
            raise ValueError(
                "Processes of JAX compute together, and samples are looked at by one: "
                f"`samples` must be 0. Received: samples={self.config.samples}"
            )
        self._record_config()
        keras.utils.set_random_seed(self.config.seed)
        regen = self._model()
        checkpoint = Checkpoint(self.directory / CHECKPOINT, distribution.is_chief())
        done = checkpoint.restore(regen)
        distribution.distribute(regen)
        clips = self._training_clips()
        clips.epoch = done
        samples = self._samples()
        if done < self.config.epochs:
            regen.fit(
                clips,
                epochs=self.config.epochs,
                initial_epoch=done,
                callbacks=self._callbacks(checkpoint, samples),
                # `VideoClips` are random by themselves, and the same when repeated.
                shuffle=False,
                verbose=0,
            )
        else:
            assign_averages(regen)
        if distribution.is_chief():
            self._finish(regen, checkpoint.history, samples)
        return regen

    def _record_config(self):
        path = self.directory / CONFIG
        if path.exists():
            self.config.check_continues(TrainingConfig.load(path))
        if distribution.is_chief():
            self.directory.mkdir(parents=True, exist_ok=True)
            self.config.save(path)
            for name in (CONFIG, CHECKPOINT, HISTORY):
                AtomicOutput.remove_leftovers(self.directory / name)

    @property
    def _alone(self):
        """Whether this process can compute without the others, as all of JAX cannot."""
        return keras.backend.backend() != "jax" or distribution.world_size() == 1

    # === Model ===

    def _model(self):
        config = self.config
        how = {"dtype": config.precision, "remat": config.remat}
        trained = load_model(config.init, **how) if config.init else None
        if trained and trained.temporal_compression == config.temporal_compression:
            regen = trained
        else:
            regen = untrained_model(config, **how)
            if trained:
                share = transfer_weights(trained, regen)
                self.console.print(f"{share:.0%} of the weights are from {config.init}")
        regen.encoder.trainable = not config.decoder_only
        regen.compile(
            optimizer=self._optimizer(),
            jit_compile="auto" if config.jit else False,
            steps_per_execution=config.steps_per_execution,
        )
        return regen

    def _optimizer(self):
        config = self.config
        warmup_steps = round(config.warmup * config.steps)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup_steps else config.learning_rate,
            config.steps - warmup_steps,
            alpha=0.01,
            warmup_target=config.learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
        optimizer = keras.optimizers.AdamW(
            schedule,
            weight_decay=config.weight_decay,
            beta_2=0.99,
            global_clipnorm=config.clip_norm or None,
            use_ema=bool(config.ema_momentum),
            # Averages of a short run would still remember how it began.
            ema_momentum=min(config.ema_momentum, 1 - 10 / max(config.steps, 20)),
            gradient_accumulation_steps=(
                config.accumulation if config.accumulation > 1 else None
            ),
        )
        if config.precision == "mixed_float16":
            return GradientGuard(optimizer, 2.0**15, dynamic_growth_steps=2000)
        return GradientGuard(optimizer)

    # === Data ===

    def _training_clips(self):
        config = self.config
        return VideoClips(
            config.data,
            config.temporal_compression + 1,
            list(self._buckets()),
            steps_per_epoch=config.steps_per_epoch,
            strides=tuple(config.stride),
            margin=config.margin,
            image_share=config.image_share,
            zoom=(1.0, config.zoom),
            seed=config.seed,
            replica=distribution.rank(),
            cache_bytes=parse_memory(config.cache) if config.cache else 0,
            workers=config.workers,
        )

    def _buckets(self):
        """A bucket for each resolution, of about as many pixels."""
        first, replicas = self.config.resolution[0], distribution.num_replicas()
        for size in self.config.resolution:
            wanted = self.config.batch_size * (first / size) ** 2 / replicas
            batch_size = max(1, round(wanted)) * replicas
            if size == first:
                batch_size = self.config.batch_size
            local = distribution.local_batch_size(batch_size)
            yield Bucket(size, size, local)

    def _plain_clips(self, source, batch_size, **kwargs):
        """Chunks as they are, cropped to the first resolution."""
        return VideoClips(
            source,
            self.config.temporal_compression + 1,
            self.config.resolution[0],
            batch_size,
            augmentation=(),
            workers=0,
            **kwargs,
        )

    def _samples(self):
        """The validation clips to watch, uint8 `(N, k + 1, H, W, 3)`, or None."""
        count = self.config.samples
        if not count:
            return None
        if not self.config.validation:
            (clips,) = self._plain_clips(self.config.data, count, seed=HELD_OUT_SEED)[0]
            return clips
        clips = self._plain_clips(self.config.validation, 1, sampling="dense")
        indices = np.linspace(0, len(clips) - 1, min(count, len(clips)))
        return np.concatenate([clips[round(i)][0] for i in indices])

    # === Along the way ===

    def _callbacks(self, checkpoint, samples):
        config, done = self.config, checkpoint.epochs * self.config.steps_per_epoch
        callbacks = [SkippedSteps(config.max_skipped)]
        if distribution.is_chief():
            if samples is not None:
                log = self.directory / LOG
                callbacks.append(SampleMonitor(log, samples, step=done))
            callbacks.append(
                Progress(config.steps, config.batch_size, done, self.console)
            )
        return [
            *callbacks,
            checkpoint,
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: self._write_history(checkpoint.history)
            ),
        ]

    def _write_history(self, history):
        if not distribution.is_chief():
            return
        steps = self.config.steps_per_epoch
        rows = [
            {"step": steps * (epoch + 1), **logs} for epoch, logs in enumerate(history)
        ]
        with AtomicOutput(self.directory / HISTORY, "history") as output:
            output.temporary.write_text(json.dumps(rows, indent=1) + "\n")

    # === At the end ===

    def _finish(self, regen, history, samples):
        self._write_history(history)
        plot_history(history, self.config.steps_per_epoch, self.directory / PLOT)
        if samples is not None:
            self._write_samples(regen, samples)
        metadata = {
            "description": self._description(regen),
            "data": [pathlib.Path(source).name for source in self.config.data],
            "training": [*self._earlier(), self._sitting(history)],
        }
        if self._alone:
            metadata["latent_statistics"] = self._latent_statistics(regen)
        regen.save_to_preset(self.directory / PRESET, metadata)
        self.console.print(f"Preset: {self.directory / PRESET}")

    def _latent_statistics(self, regen):
        trained = self.config.steps * self.config.batch_size
        clips = self._plain_clips(
            self.config.data,
            STATISTICS_BATCH,
            steps_per_epoch=-(-min(STATISTICS_CLIPS, trained) // STATISTICS_BATCH),
            seed=HELD_OUT_SEED,
        )
        statistics = LatentStatistics()
        for (batch,) in clips:
            statistics.update(regen.encode(batch))
        return statistics.result()

    def _write_samples(self, regen, samples):
        with VideoWriter(self.directory / VIDEO, FPS) as writer:
            for clip in samples:
                decoded = regen.reconstruct(clip[None])[0]
                for frame in np.concatenate([clip, decoded], axis=2):
                    writer.write(frame)

    def _description(self, regen):
        name = self.config.init or self.config.size
        return f"{name}, 8x8x{regen.temporal_compression}"

    def _earlier(self):
        """What the preset that this run began with says of its own training."""
        if not self.config.init:
            return []
        return preset_metadata(self.config.init).get("training", [])

    def _sitting(self, history):
        settings = dataclasses.asdict(self.config)
        for name in ("data", "validation", "samples", "workers", "cache"):
            del settings[name]
        return {
            **settings,
            "skipped": history[-1]["skipped"],
            "seconds": round(sum(logs["seconds"] for logs in history)),
            "backend": keras.backend.backend(),
            "hardware": hardware(),
        }
