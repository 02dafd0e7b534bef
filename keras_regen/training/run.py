"""A training run, from its settings to a preset."""

import dataclasses
import importlib.util
import json
import pathlib
from typing import Any

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
    build_model,
    load_model,
    preset_metadata,
    transfer_weights,
)
from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.sizes import parse_memory
from keras_regen.training import distribution
from keras_regen.training.checkpoint import Checkpoint
from keras_regen.training.clock_schedule import ClockSchedule
from keras_regen.training.config import CHANGEABLE, TrainingConfig
from keras_regen.training.gradient_guard import GradientGuard, SkippedSteps
from keras_regen.training.progress import Progress, plot_history
from keras_regen.training.sample_monitor import FPS, SampleMonitor
from keras_regen.types import StrPath
from keras_regen.video import VideoWriter

# Names of the files and directories that a run writes.
CONFIG, CHECKPOINT, HISTORY = "config.toml", "checkpoint.h5", "history.json"
PRESET, PLOT, LOG, VIDEO = "preset", "history.png", "tensorboard", "samples.mp4"
# Packages of the extra `train`, which write some of them.
EXTRAS = ("matplotlib", "tensorboardX", "tomli_w")
# Number of clips for the latent statistics, and clips in a batch of them.
STATISTICS_CLIPS, STATISTICS_BATCH = 512, 8
# Seed of the clips of the training data that are drawn for samples and statistics.
HELD_OUT_SEED = 2503


def train(
    config: TrainingConfig, output: StrPath, console: rich.console.Console | None = None
) -> Regen | ConvAutoencoder:
    """Trains a model, or resumes its training.

    Writes to the directory `output`: `config.toml`, every setting; `checkpoint.h5`,
    after every epoch, from which the same call resumes an interrupted run;
    `history.json`, the logs of every epoch, and `history.png`, their plot;
    `samples.mp4`, validation clips next to their reconstructions in one step;
    `tensorboard/`; and `preset/`, with the averaged weights and the statistics of the
    latents.

    Args:
        config: a `TrainingConfig`.
        output: path of the directory.
        console: `rich.console.Console` or None, for standard output.

    Returns:
        The trained `Regen` or `ConvAutoencoder`.

    Raises:
        ImportError: if a package of the extra `train` is missing.
        ValueError: if the settings do not fit the data, the devices, or the run that is
            resumed.
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


def untrained_model(config: TrainingConfig, **how: Any) -> Regen | ConvAutoencoder:
    """Builds the model of a configuration, with initial weights.

    Args:
        config: a `TrainingConfig`.
        **how: `dtype` and `remat`, as for `build_model`.
    """
    regularization = None if config.regularization == "none" else config.regularization
    return build_model(
        config.size,
        config.temporal_compression,
        config.decoder,
        seed=config.seed,
        regularization=regularization,
        **how,
    )


class _TrainingRun:
    """See `train`."""

    def __init__(self, config, directory, console=None):
        self.config = config
        self.directory = directory
        self.console = console or rich.console.Console(markup=False, emoji=False)

    def __call__(self):
        if self.config.minutes and distribution.world_size() > 1:
            raise ValueError(
                "`minutes` must be 0 with several processes: their clocks would end "
                f"them at different steps. Received: minutes={self.config.minutes}"
            )
        if self.config.samples and not self._alone:
            raise ValueError(
                "`samples` must be 0 with several JAX processes, since one of them "
                "cannot compute without the others. "
                f"Received: samples={self.config.samples}"
            )
        self._record_config()
        keras.utils.set_random_seed(self.config.seed)
        model = self._model()
        checkpoint = Checkpoint(self.directory / CHECKPOINT, distribution.is_chief())
        done = checkpoint.restore(model)
        distribution.distribute(model)
        clips = self._training_clips()
        clips.epoch = done
        samples = self._samples()
        if done < self.config.epochs and self._elapsed(checkpoint) < self._seconds:
            model.fit(
                clips,
                epochs=self.config.epochs,
                initial_epoch=done,
                callbacks=self._callbacks(checkpoint, samples),
                # `VideoClips` are random already, and in this order they are the same
                # in every run.
                shuffle=False,
                verbose=0,
            )
        else:
            assign_averages(model)
        if distribution.is_chief():
            self._finish(model, checkpoint.history, samples)
        return model

    def _record_config(self):
        path = self.directory / CONFIG
        if path.exists():
            self.config.check_continues(TrainingConfig.load(path))
        if distribution.is_chief():
            self.directory.mkdir(parents=True, exist_ok=True)
            self.config.save(path)

    @property
    def _seconds(self):
        """The length of the training; infinite where its steps are given."""
        return 60 * self.config.minutes or float("inf")

    @staticmethod
    def _elapsed(checkpoint):
        """Returns the seconds that `ClockSchedule` counted before this process."""
        return checkpoint.history[-1].get("elapsed", 0.0) if checkpoint.history else 0.0

    @property
    def _alone(self):
        """Whether this process can compute without others, which JAX does not allow."""
        return keras.backend.backend() != "jax" or distribution.world_size() == 1

    # === Model ===

    def _model(self):
        config = self.config
        how = {"dtype": config.precision, "remat": config.remat}
        trained = load_model(config.init, **how) if config.init else None
        if trained and trained.temporal_compression == config.temporal_compression:
            model = trained
        else:
            model = untrained_model(config, **how)
            if trained:
                share = transfer_weights(trained, model)
                self.console.print(f"{share:.0%} of the weights are from {config.init}")
        model.encoder.trainable = not config.decoder_only
        model.compile(
            optimizer=self._optimizer(),
            jit_compile="auto" if config.jit else False,
            steps_per_execution=config.steps_per_execution,
        )
        return model

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
        # In a short run the averages would still contain the first weights.
        ema_momentum = min(config.ema_momentum, 1 - 10 / max(config.steps, 20))
        if config.minutes:
            # `ClockSchedule` sets the rate; nobody knows how many steps there will be.
            schedule, ema_momentum = config.learning_rate, config.ema_momentum
        optimizer = keras.optimizers.AdamW(
            schedule,
            weight_decay=config.weight_decay,
            beta_2=0.99,
            global_clipnorm=config.clip_norm or None,
            use_ema=bool(config.ema_momentum),
            ema_momentum=ema_momentum,
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
        """Yields a bucket for each resolution; all batches have about equal pixels."""
        first, replicas = self.config.resolution[0], distribution.num_replicas()
        for size in self.config.resolution:
            wanted = self.config.batch_size * (first / size) ** 2 / replicas
            batch_size = max(1, round(wanted)) * replicas
            if size == first:
                batch_size = self.config.batch_size
            local = distribution.local_batch_size(batch_size)
            yield Bucket(size, size, local)

    def _plain_clips(self, source, batch_size, **kwargs):
        """Returns clips without augmentation, cropped to the first resolution."""
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
        """Returns the clips to watch, uint8 `(N, k + 1, H, W, 3)`, or None."""
        count = self.config.samples
        if not count:
            return None
        if not self.config.validation:
            (clips,) = self._plain_clips(self.config.data, count, seed=HELD_OUT_SEED)[0]
            return clips
        clips = self._plain_clips(self.config.validation, 1, sampling="dense")
        indices = np.linspace(0, len(clips) - 1, min(count, len(clips)))
        return np.concatenate([clips[round(i)][0] for i in indices])

    # === Callbacks ===

    def _callbacks(self, checkpoint, samples):
        config, done = self.config, checkpoint.epochs * self.config.steps_per_epoch
        callbacks = [SkippedSteps(config.max_skipped)]
        if config.minutes:
            callbacks.append(
                ClockSchedule(
                    self._seconds,
                    config.learning_rate,
                    config.warmup,
                    self._elapsed(checkpoint),
                )
            )
        if distribution.is_chief():
            if samples is not None:
                log = self.directory / LOG
                callbacks.append(SampleMonitor(log, samples, step=done))
            callbacks.append(
                Progress(
                    None if config.minutes else config.steps,
                    config.batch_size,
                    done,
                    self.console,
                    self._seconds,
                )
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

    # === Results ===

    def _finish(self, model, history, samples):
        self._write_history(history)
        plot_history(history, self.config.steps_per_epoch, self.directory / PLOT)
        if samples is not None:
            self._write_samples(model, samples)
        metadata = {
            "description": self._description(model),
            "data": [pathlib.Path(source).name for source in self.config.data],
            "training": [*self._earlier(), self._this_training(history)],
        }
        if self._alone:
            trained = len(history) * self.config.steps_per_epoch
            metadata["latent_statistics"] = self._latent_statistics(model, trained)
        model.save_to_preset(self.directory / PRESET, metadata)
        self.console.print(f"Preset: {self.directory / PRESET}")

    def _latent_statistics(self, model, steps):
        trained = steps * self.config.batch_size
        clips = self._plain_clips(
            self.config.data,
            STATISTICS_BATCH,
            steps_per_epoch=-(-min(STATISTICS_CLIPS, trained) // STATISTICS_BATCH),
            seed=HELD_OUT_SEED,
        )
        statistics = LatentStatistics()
        for (batch,) in clips:
            statistics.update(model.encode(batch))
        return statistics.result()

    def _write_samples(self, model, samples):
        with VideoWriter(self.directory / VIDEO, FPS) as writer:
            for clip in samples:
                decoded = model.reconstruct(clip[None])[0]
                for frame in np.concatenate([clip, decoded], axis=2):
                    writer.write(frame)

    def _description(self, model):
        name = self.config.init or self.config.size
        side = SPATIAL_COMPRESSION
        return f"{name}, {side}x{side}x{model.temporal_compression}"

    def _earlier(self):
        """Returns the training metadata of the preset that this run started from."""
        if not self.config.init:
            return []
        earlier = preset_metadata(self.config.init).get("training", [])
        # Users write metadata of their own.
        return earlier if isinstance(earlier, list) else [earlier]

    def _this_training(self, history):
        settings = dataclasses.asdict(self.config)
        for name in ("data", "validation", *CHANGEABLE):
            del settings[name]
        return {
            **settings,
            "steps": len(history) * self.config.steps_per_epoch,
            "skipped": history[-1]["skipped"],
            "seconds": round(sum(logs["seconds"] for logs in history)),
            "backend": keras.backend.backend(),
            "hardware": hardware(),
        }
