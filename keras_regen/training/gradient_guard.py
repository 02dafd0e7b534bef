"""Skipping training steps whose gradients are not finite."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_regen.types import Tensor

# The largest int32: more steps than any run has.
NEVER = 2**31 - 1


@keras.saving.register_keras_serializable(package="keras_regen")
class GradientGuard(keras.optimizers.LossScaleOptimizer):
    """Skips and counts steps whose gradients are not finite.

    One NaN in the weights would ruin a run. A skipped step leaves the weights, slots,
    averages and learning-rate schedule unchanged. Keras does the same for float16 with
    a scaled loss; here the scale is 1 by default, so that any dtype is guarded.

    Args:
        inner_optimizer: the `keras.optimizers.Optimizer` that takes the steps.
        initial_scale: float. The loss scale. Defaults to `1.0`; use `2**15` for
            float16.
        dynamic_growth_steps: int. Steps after which the scale doubles, if a skipped
            step is to halve it. Defaults to never, with a fixed scale; use `2000` for
            float16.

    Attributes:
        skipped: int variable. Steps skipped so far.
        skipped_in_a_row: int variable. Steps skipped since the last one taken.

    Example:

    ```python
    regen.compile(GradientGuard(keras.optimizers.AdamW(1e-4, use_ema=True)))
    regen.fit(clips, callbacks=[SkippedSteps(limit=25)])
    ```

    Reference:
        Micikevicius et al. 2018, *Mixed Precision Training*, section 3.2.
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        initial_scale: float = 1.0,
        dynamic_growth_steps: int = NEVER,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            inner_optimizer, initial_scale, dynamic_growth_steps, name=name, **kwargs
        )
        # Halved for ever, the scale would reach 0, and gradients divided by it NaN.
        fixed = dynamic_growth_steps == NEVER
        self._min_scale = initial_scale if fixed else min(1.0, initial_scale)
        if keras.backend.backend() == "torch":
            _use_foreach(inner_optimizer)

    def build(self, var_list: Sequence[keras.Variable]) -> None:
        super().build(var_list)
        self.skipped, self.skipped_in_a_row = (
            self.add_variable(
                shape=(),
                dtype="int",
                initializer="zeros",
                aggregation="only_first_replica",
                name=name,
            )
            for name in ("skipped", "skipped_in_a_row")
        )

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Tensor],
        grads: Sequence[Tensor],
        trainable_variables: Sequence[Tensor],
    ) -> tuple[Sequence[Tensor], list[Tensor]]:
        before = self._own(optimizer_variables)
        trainable_variables, optimizer_variables = super().stateless_apply(
            optimizer_variables, grads, trainable_variables
        )
        own = self._own(optimizer_variables)
        # The scale falls only when a step is skipped.
        skip = own["dynamic_scale"] < before["dynamic_scale"]
        own["dynamic_scale"] = ops.maximum(own["dynamic_scale"], self._min_scale)
        own["skipped"], own["skipped_in_a_row"] = self._count(
            skip, own["skipped"], own["skipped_in_a_row"]
        )
        return trainable_variables, [*own.values(), *optimizer_variables[len(own) :]]

    def apply(
        self,
        grads: Sequence[Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        if not self.built:
            self.build(trainable_variables or ())
        before = ops.copy(self.dynamic_scale)
        super().apply(grads, trainable_variables)
        skipped, in_a_row = self._count(
            self.dynamic_scale < before, self.skipped, self.skipped_in_a_row
        )
        self.dynamic_scale.assign(ops.maximum(self.dynamic_scale, self._min_scale))
        self.skipped.assign(skipped)
        self.skipped_in_a_row.assign(in_a_row)

    def check_finite(self, grads: Sequence[Tensor]) -> Tensor:
        """Returns a scalar, bool: whether all gradients are finite."""
        if keras.backend.backend() != "torch":
            return super().check_finite(grads)
        import torch

        # One operation for all gradients, which multiplies them by 1. Keras has seven
        # for each.
        grads = [grad for grad in grads if grad is not None]
        found = torch.zeros((), device=grads[0].device)
        torch._amp_foreach_non_finite_check_and_unscale_(
            grads, found, torch.ones_like(found)
        )
        return found == 0

    def _own(self, values):
        names = [variable.name for variable in self._variables]
        return dict(zip(names, values, strict=False))

    @staticmethod
    def _count(skip, skipped, in_a_row):
        one = ops.cast(skip, skipped.dtype)
        return skipped + one, (in_a_row + one) * one


def _use_foreach(optimizer):
    """Clips and averages by one operation for all variables (PyTorch).

    Keras has three operations for each gradient to clip by the global norm, and eleven
    for each variable to average; all the rest of AdamW's step is about thirty.

    Args:
        optimizer: a `keras.optimizers.Optimizer`. Its methods are replaced.
    """
    import torch

    clip_gradients = optimizer._clip_gradients

    def clip(grads):
        limit = optimizer.global_clipnorm
        if not limit or optimizer.clipnorm:
            return clip_gradients(grads)
        norm = torch.stack(torch._foreach_norm(grads)).square().sum().sqrt()
        # As in Keras: NaN if the norm is not finite.
        scale = limit * (1.0 / norm).clamp(max=1.0 / limit) + (norm - norm)
        return torch._foreach_mul(grads, scale)

    @torch.no_grad()
    def average(variables):
        if not optimizer.use_ema:
            return
        pairs = [
            (average.value, variable.value)
            for average, variable in zip(
                optimizer._model_variables_moving_average, variables, strict=True
            )
            if average is not None
        ]
        averages, values = zip(*pairs, strict=True)
        # The first step copies.
        first = ops.equal(optimizer.iterations, 0)
        momentum = torch.where(first, 0.0, optimizer.ema_momentum)
        momentum = momentum.to(values[0].dtype)
        torch._foreach_mul_(averages, momentum)
        torch._foreach_add_(averages, torch._foreach_mul(values, 1.0 - momentum))

    optimizer._clip_gradients = clip
    optimizer._update_model_variables_moving_average = average


class SkippedSteps(keras.callbacks.Callback):
    """Logs the steps that a `GradientGuard` skips, and stops if too many are skipped.

    Adds `skipped`, the steps skipped so far, to the logs of an epoch.

    Args:
        limit: int. Steps skipped in a row that end the training. Defaults to `25`.

    Raises:
        TypeError: in training, if the optimiser is not a `GradientGuard`.
        FloatingPointError: in training, after `limit` or more skipped steps in a row;
            checked every `limit` steps.
    """

    def __init__(self, limit: int = 25) -> None:
        super().__init__()
        self.limit = limit

    def on_train_begin(self, logs: Any = None) -> None:
        if not isinstance(self.model.optimizer, GradientGuard):
            raise TypeError(
                "`SkippedSteps` needs an optimiser that skips: compile the model with "
                f"`GradientGuard(optimizer)`. Received: {self.model.optimizer!r}"
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        before, self._steps = self._steps, batch + 1
        if before // self.limit != self._steps // self.limit:
            self._check()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._check()
        logs["skipped"] = int(self.model.optimizer.skipped)

    def _check(self):
        # On JAX the trainer holds the state, and writes it back only when asked.
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        optimizer = self.model.optimizer
        in_a_row = int(optimizer.skipped_in_a_row)
        if in_a_row >= self.limit:
            raise FloatingPointError(
                f"The gradients of {in_a_row} steps in a row were not finite, and the "
                "steps were skipped. Lower the learning rate, lengthen the warm-up or "
                "train in float32, and resume from the last checkpoint. "
                f"Received: limit={self.limit}, skipped={int(optimizer.skipped)}"
            )
