"""The averages of the weights in place of the weights."""

import contextlib

from keras import ops


def assign_averages(model):
    """Makes the optimiser's moving averages the model's weights, as `fit` ends.

    Without `use_ema` nothing changes.

    Args:
        model: a compiled `keras.Model`, whose optimiser is built.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if optimizer.use_ema:
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(model.trainable_variables, averages, strict=True):
            # A copy: on JAX two variables of one buffer would be donated twice.
            variable.assign(ops.copy(average))


@contextlib.contextmanager
def averaged_weights(model):
    """Runs a block with the averages as weights, then puts the weights back.

    Args:
        model: as for `assign_averages`.
    """
    variables = model.trainable_variables
    weights = [ops.convert_to_numpy(ops.copy(variable)) for variable in variables]
    assign_averages(model)
    try:
        yield
    finally:
        for variable, weight in zip(variables, weights, strict=True):
            variable.assign(weight)
