"""An optimiser that skips steps whose gradients are not finite."""

import keras
from keras import ops

# More steps than int32 counts.
NEVER = 2**31 - 1


@keras.saving.register_keras_serializable(package="keras_regen")
class GradientGuard(keras.optimizers.LossScaleOptimizer):
    """Skips a step whose gradients are not finite, and counts it.

    A NaN that reaches the weights ends a run. Here weights, slots, averages and the
    learning-rate schedule stay as they were, and the next step goes on. Keras does that
    for float16, whose loss it scales; here the scale is one, unless it is given.

    Args:
        inner_optimizer: the `keras.optimizers.Optimizer` that does the steps.
        initial_scale: float. The loss scale, halved when a step is skipped. Defaults to
            `1.0`; float16 takes `2**15`.
        dynamic_growth_steps: int. Steps after which the scale is doubled. Defaults to
            never; float16 takes `2000`.

    Attributes:
        skipped: int variable. Steps skipped.
        skipped_in_a_row: int variable. Steps skipped since the last one that was not.

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
        inner_optimizer,
        initial_scale=1.0,
        dynamic_growth_steps=NEVER,
        name=None,
        **kwargs,
    ):
        super().__init__(
            inner_optimizer, initial_scale, dynamic_growth_steps, name=name, **kwargs
        )

    def build(self, var_list):
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

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        before = self._own(optimizer_variables)
        trainable_variables, optimizer_variables = super().stateless_apply(
            optimizer_variables, grads, trainable_variables
        )
        own = self._own(optimizer_variables)
        # Nothing else halves the scale.
        skip = own["dynamic_scale"] < before["dynamic_scale"]
        own["skipped"], own["skipped_in_a_row"] = self._count(
            skip, own["skipped"], own["skipped_in_a_row"]
        )
        return trainable_variables, [*own.values(), *optimizer_variables[len(own) :]]

    def apply(self, grads, trainable_variables=None):
        if not self.built:
            self.build(trainable_variables)
        before = ops.copy(self.dynamic_scale)
        super().apply(grads, trainable_variables)
        skipped, in_a_row = self._count(
            self.dynamic_scale < before, self.skipped, self.skipped_in_a_row
        )
        self.skipped.assign(skipped)
        self.skipped_in_a_row.assign(in_a_row)

    def reset_scale(self):
        """Makes the scale one again, if it is fixed, after skipped steps halved it."""
        if self.built and self.dynamic_growth_steps == NEVER:
            self.dynamic_scale.assign(self.initial_scale)

    def _own(self, values):
        names = [variable.name for variable in self._variables]
        return dict(zip(names, values, strict=False))

    @staticmethod
    def _count(skip, skipped, in_a_row):
        one = ops.cast(skip, skipped.dtype)
        return skipped + one, (in_a_row + one) * one
