"""A training run, from its settings to a preset: what does not depend on the model."""

import abc
import importlib.util
import json
import pathlib
from typing import Any

import keras
import rich.console

from keras_regen.atomic_output import AtomicOutput
from keras_regen.hardware import device, hardware
from keras_regen.models import TrainedModel, assign_averages, preset_metadata
from keras_regen.training import distribution
from keras_regen.training.checkpoint import Checkpoint
from keras_regen.training.clock_schedule import ClockSchedule
from keras_regen.training.config import RunConfig
from keras_regen.training.gradient_guard import GradientGuard, SkippedSteps
from keras_regen.training.progress import Progress, plot_history
from keras_regen.types import StrPath

# Names of the files and directories that a run writes.
CONFIG, CHECKPOINT, HISTORY = "config.toml", "checkpoint.h5", "history.json"
PRESET, PLOT, LOG, VIDEO = "preset", "history.png", "tensorboard", "samples.mp4"
# Packages of the extra `train`, which write some of them.
EXTRAS = ("matplotlib", "tensorboardX", "tomli_w")
# Seed of what is drawn of the data for samples, statistics and validation.
HELD_OUT_SEED = 2503


class Run(abc.ABC):
    """A run. Subclasses say what is trained, on what, and what comes of it.

    Args:
        config: a `RunConfig`.
        directory: path of the directory.
        console: `rich.console.Console` or None, for standard output.

    Raises:
        ImportError: if a package of the extra `train` is missing.
    """

    # Where each weight lies if devices share a model.
    get_layout_map: Any

    def __init__(
        self,
        config: RunConfig,
        directory: StrPath,
        console: rich.console.Console | None = None,
    ) -> None:
        missing = [name for name in EXTRAS if not importlib.util.find_spec(name)]
        if missing:
            raise ImportError(
                f"Training runs need {', '.join(missing)}: "
                "pip install keras-regen[train]"
            )
        self.config: Any = config
        self.directory = pathlib.Path(directory)
        self.console = console or rich.console.Console(markup=False, emoji=False)

    def __call__(self) -> Any:
        """Trains the model, or resumes its training, and returns it."""
        layout = self.get_layout_map
        with distribution.scope(self.config.model_parallel, layout):
            return self._train()

    def _train(self):
        self._check_processes()
        if distribution.is_chief():
            backend = keras.backend.backend()
            self.console.print(f"Backend: {backend}, on {device()}")
        self._record_config()
        keras.utils.set_random_seed(self.config.seed)
        model = self.build()
        _set_seed(model, self.config.seed)
        self._compile(model)
        checkpoint = Checkpoint(self.directory / CHECKPOINT, distribution.is_chief())
        done = checkpoint.restore(model)
        distribution.distribute(model)
        data = self.training_data()
        data.epoch = done
        if done < self.config.epochs and self._elapsed(checkpoint) < self._seconds:
            callbacks = self._callbacks(model, checkpoint)
            try:
                model.fit(
                    data,
                    epochs=self.config.epochs,
                    initial_epoch=done,
                    callbacks=callbacks,
                    # The data are random already, and in this order they are the same
                    # in every run.
                    shuffle=False,
                    verbose=0,
                )
            finally:
                # Keras does not end a training that raises.
                for callback in callbacks:
                    if isinstance(callback, Progress):
                        callback.stop()
        else:
            assign_averages(model)
        if distribution.is_chief():
            self._finish(model, checkpoint.history)
        return model

    @abc.abstractmethod
    def build(self) -> TrainedModel:
        """Returns the model, not compiled yet."""

    @abc.abstractmethod
    def training_data(self) -> Any:
        """Returns a `PyDataset` with an `epoch`, this process's share of the data."""

    @abc.abstractmethod
    def monitor(self, model: Any, step: int) -> keras.callbacks.Callback | None:
        """Returns what watches a training that starts at a step, or None."""

    @abc.abstractmethod
    def write_samples(self, model: Any) -> None:
        """Writes a video of what the trained model does."""

    @abc.abstractmethod
    def metadata(self, model: Any, steps: int) -> dict[str, Any]:
        """Returns what the preset's metadata say, but for the training itself."""

    def save(self, model: Any, directory: pathlib.Path, metadata: Any) -> None:
        """Writes the preset."""
        model.save_to_preset(directory, metadata)

    def _check_processes(self):
        if self.config.minutes and distribution.world_size() > 1:
            raise ValueError(
                "`minutes` must be 0 with several processes: their clocks would end "
                f"them at different steps. Received: minutes={self.config.minutes}"
            )
        if self.config.samples and not self.alone:
            raise ValueError(
                "`samples` must be 0 with several JAX processes, since one of them "
                "cannot compute without the others. "
                f"Received: samples={self.config.samples}"
            )

    def _record_config(self):
        path = self.directory / CONFIG
        # A run that stopped before its first checkpoint has nothing to resume, as when
        # its data were not found.
        if path.exists() and (self.directory / CHECKPOINT).exists():
            try:
                recorded = type(self.config).load(path)
            except ValueError as error:
                raise ValueError(
                    "This version cannot resume the run, whose settings it refuses: "
                    f"choose another output directory. Received: {self.directory}, "
                    f"and {error}"
                ) from error
            self.config.check_continues(recorded)
        if distribution.is_chief():
            self.directory.mkdir(parents=True, exist_ok=True)
            self.config.save(path)

    @property
    def alone(self) -> bool:
        """Whether this process can compute without others, which JAX does not allow."""
        return keras.backend.backend() != "jax" or distribution.world_size() == 1

    @property
    def _seconds(self):
        """The length of the training; infinite where its steps are given."""
        return 60 * self.config.minutes or float("inf")

    @staticmethod
    def _elapsed(checkpoint):
        """Returns the seconds that `ClockSchedule` counted before this process."""
        return checkpoint.history[-1].get("elapsed", 0.0) if checkpoint.history else 0.0

    # === Optimisation ===

    def _compile(self, model):
        model.compile(
            optimizer=self._optimizer(),
            jit_compile="auto" if self.config.jit else False,
            steps_per_execution=self.config.steps_per_execution,
        )

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

    # === Callbacks ===

    def _callbacks(self, model, checkpoint):
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
            if monitor := self.monitor(model, done):
                callbacks.append(monitor)
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

    def _finish(self, model, history):
        steps_per_epoch = self.config.steps_per_epoch
        self._write_history(history)
        plot_history(history, steps_per_epoch, self.directory / PLOT)
        self.write_samples(model)
        metadata = {
            **self.metadata(model, len(history) * steps_per_epoch),
            "training": [*self._earlier(), self._this_training(history)],
        }
        self.save(model, self.directory / PRESET, metadata)
        self.console.print(f"Preset: {self.directory / PRESET}")

    def _earlier(self):
        """Returns the training metadata of the preset that this run started from."""
        if not self.config.init:
            return []
        earlier = preset_metadata(self.config.init).get("training", [])
        # Users write metadata of their own.
        return earlier if isinstance(earlier, list) else [earlier]

    def _this_training(self, history):
        config = self.config
        left_out = (
            *("data", "validation"),
            *config.changeable,
            *config.left_to_preset,
        )
        names = [field.name for field in config.settings()]
        return {
            **{x: getattr(config, x) for x in names if x not in left_out},
            "steps": len(history) * config.steps_per_epoch,
            "skipped": history[-1]["skipped"],
            "seconds": round(sum(logs["seconds"] for logs in history)),
            "backend": keras.backend.backend(),
            "hardware": hardware(),
        }


def _set_seed(model, seed):
    """Makes a model, new or of a preset, draw times and noise by a seed."""
    if hasattr(model, "seed_generator"):
        model.seed = seed
    states = [
        state
        for state in model.non_trainable_variables
        if state.name == "seed_generator_state"
    ]
    # The model's own generator is the first, and those of its layers follow. On PyTorch
    # states are int32.
    for i, state in enumerate(states):
        state.assign(keras.random.SeedGenerator((seed + i) % 2**31).state)
