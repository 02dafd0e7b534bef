"""Watching over the steps that are skipped."""

import keras


class SkippedSteps(keras.callbacks.Callback):
    """Counts the steps that a `GradientGuard` skips, and stops when all are skipped.

    Args:
        limit: int. Steps skipped in a row that end the training. Defaults to `25`.

    Raises:
        FloatingPointError: in training, from `limit` skipped steps in a row, looked for
            every `limit` steps.
    """

    def __init__(self, limit=25):
        super().__init__()
        self.limit = limit

    def on_epoch_begin(self, epoch, logs=None):
        self._steps = 0
        self.model.optimizer.reset_scale()

    def on_train_batch_end(self, batch, logs=None):
        before, self._steps = self._steps, batch + 1
        if before // self.limit != self._steps // self.limit:
            self._check()

    def on_epoch_end(self, epoch, logs=None):
        self._check()
        logs["skipped"] = int(self.model.optimizer.skipped)

    def _check(self):
        # JAX's trainer keeps the state to itself until it is asked.
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        optimizer = self.model.optimizer
        in_a_row = int(optimizer.skipped_in_a_row)
        if in_a_row >= self.limit:
            raise FloatingPointError(
                f"The gradients of {in_a_row} steps in a row were not finite; the "
                "weights are those from before. Lower the learning rate, warm up for "
                "longer or train in float32, and go on from the last checkpoint. "
                f"Received: limit={self.limit}, skipped={int(optimizer.skipped)}"
            )
