"""Showing how a training goes: a line while it runs, and a plot of its history."""

import time
from collections.abc import Sequence
from typing import Any

import keras
import rich.console
import rich.progress

from keras_regen.figures import new_figure, save_figure
from keras_regen.types import StrPath

REFRESH_SECONDS = 0.5
# Without a terminal, this long passes between two lines.
LINE_SECONDS = 10


class Progress(keras.callbacks.Callback):
    """Shows the step, loss, samples per second and remaining time.

    A terminal shows a progress bar; any other output gets a line every ten seconds.
    Both get one after every epoch.
    Adds `learning_rate`, `samples_per_second` and `seconds` of the epoch to the logs.

    Args:
        steps: int or None, where the clock ends the training. Steps of the whole
            training.
        batch_size: int. Samples of one step.
        done: int. Steps that are already done. Defaults to `0`.
        console: `rich.console.Console` or None. Defaults to standard output.
        seconds: float. Length of a training without `steps`, whose logs have `elapsed`.
            Defaults to infinity.
    """

    def __init__(
        self,
        steps: int | None,
        batch_size: int,
        done: int = 0,
        console: rich.console.Console | None = None,
        seconds: float = float("inf"),
    ) -> None:
        super().__init__()
        self.steps = steps
        self.batch_size = batch_size
        self.done = done
        self.console = console or rich.console.Console()
        self.seconds = seconds
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("step"),
            rich.progress.MofNCompleteColumn(),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[text]}"),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def on_train_begin(self, logs: Any = None) -> None:
        self._task = self._bar.add_task(
            "", total=self.steps, completed=self.done, text="compiling"
        )
        self._bar.start()
        self._clock: tuple[float, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch_start, self._epoch_clock = self.done, time.perf_counter()
        # The first step of a run compiles, so the clock starts after it.
        self._clock = self._clock and (time.perf_counter(), 0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.done = self._epoch_start + batch + 1
        now = time.perf_counter()
        if self._clock is None:
            self._shown = now
            self._clock = now, batch + 1
            return
        is_terminal = self.console.is_terminal
        if now - self._shown < (REFRESH_SECONDS if is_terminal else LINE_SECONDS):
            return
        self._shown = now
        loss, rate = float(logs["loss"]), self._samples_per_second(now)
        text = f"loss {loss:.4f}, {rate:.1f} samples/s"
        self._bar.update(self._task, completed=self.done, text=text)
        if not is_terminal:
            self._print({"loss": loss, "samples_per_second": rate})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        logs["seconds"] = now - self._epoch_clock
        logs["samples_per_second"] = self._samples_per_second(now)
        logs["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        self._shown = now
        self._bar.update(self._task, completed=self.done)
        self._print(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the bar, also where the training raised."""
        self._bar.stop()

    def _samples_per_second(self, now):
        if self._clock is None:
            return 0.0
        start, first = self._clock
        steps = self.done - self._epoch_start - first
        return steps * self.batch_size / max(now - start, 1e-9)

    def _print(self, logs):
        self.console.print(self._line(logs), highlight=False)

    def _line(self, logs):
        rate = logs["samples_per_second"]
        total = f"/{self.steps}" if self.steps else ""
        parts = [f"step {self.done}{total}", f"loss {logs['loss']:.4f}"]
        if "val_loss" in logs:
            parts.append(f"validation {logs['val_loss']:.4f}")
        if "psnr" in logs:
            parts.append(f"PSNR {logs['psnr']:.2f} dB")
        if logs.get("skipped"):
            parts.append(f"{logs['skipped']} steps skipped")
        parts.append(f"{rate:.1f} samples/s")
        if "elapsed" in logs:
            seconds = max(0, self.seconds - logs["elapsed"])
            parts.append(f"{_clock_time(seconds)} left")
        elif rate and self.steps:
            seconds = (self.steps - self.done) * self.batch_size / rate
            parts.append(f"{_clock_time(seconds)} left")
        return ", ".join(parts)


def _clock_time(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def plot_history(
    history: Sequence[dict[str, Any]], steps_per_epoch: int, path: StrPath
) -> None:
    """Plots the loss, the loss at diffusion times, the PSNR and the learning rate.

    Args:
        history: list of dict, the logs of every epoch, as `Checkpoint.history`.
        steps_per_epoch: int. Steps of an epoch.
        path: path of the `.png` file to write.

    Raises:
        ImportError: without matplotlib.
    """
    names = list(dict.fromkeys(name for logs in history for name in logs))
    panels = {
        "loss": ["loss", "val_loss"],
        "loss at a diffusion time": [n for n in names if n.startswith("loss_at_")],
        "PSNR in one step, dB": ["psnr"],
        "learning rate": ["learning_rate"],
    }
    panels = {t: [n for n in ns if n in names] for t, ns in panels.items()}
    panels = {title: names for title, names in panels.items() if names}
    figure = new_figure(5 * len(panels), 3.5)
    for axes, (title, curves) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for name in curves:
            points = [
                (steps_per_epoch * (epoch + 1), logs[name])
                for epoch, logs in enumerate(history)
                if name in logs
            ]
            axes.plot(*zip(*points, strict=True), label=name.removeprefix("loss_at_"))
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if title.startswith("loss"):
            axes.set_yscale("log")
        if len(curves) > 1:
            axes.legend(title="t" if "time" in title else None, fontsize="small")
    save_figure(figure, path)
