"""Training for a given time instead of a given number of steps."""

import math
import time
from typing import Any

import keras


class ClockSchedule(keras.callbacks.Callback):
    """Sets the learning rate by the clock, and ends the training when the time is up.

    The rate rises linearly during the warm-up and then falls as a cosine to
    `MIN_SHARE` of its peak, in steps of one epoch. The clock starts after the first
    step, which compiles, and counts everything from there on. Adds `elapsed` to the
    logs: the seconds of training so far.

    Args:
        seconds: float. Length of the training.
        learning_rate: float. Peak of the learning rate.
        warmup: float. Share of the time before the peak, from 0 to 0.9.
        elapsed: float. Seconds of training before this `fit`, for a run that is
            resumed. Defaults to `0`.
    """

    MIN_SHARE = 0.01

    def __init__(
        self, seconds: float, learning_rate: float, warmup: float, elapsed: float = 0.0
    ) -> None:
        super().__init__()
        self.seconds = seconds
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.elapsed = elapsed
        self._start: float | None = None

    def rate(self, share: float) -> float:
        """Returns the learning rate at a share of the time, from 0 to 1."""
        if share < self.warmup:
            return self.learning_rate * share / self.warmup
        falling = (share - self.warmup) / (1 - self.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * min(falling, 1.0)))
        return self.learning_rate * (self.MIN_SHARE + (1 - self.MIN_SHARE) * cosine)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        # A rate of 0 would waste the first epoch of the warm-up.
        share = max(self.elapsed / self.seconds, 0.1 * self.warmup)
        optimizer.learning_rate = self.rate(share)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._start is None:
            self._start = time.perf_counter() - self.elapsed

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._start is not None:
            self.elapsed = time.perf_counter() - self._start
        logs["elapsed"] = self.elapsed
        if self.elapsed >= self.seconds:
            self.model.stop_training = True
