"""The averages of the weights in place of the weights."""

import contextlib

from keras import ops


@contextlib.contextmanager
def averaged_weights(model):
    """Runs a block with the optimiser's moving averages as the model's weights.

    The weights are put back bit for bit. Without `use_ema` nothing changes.

    Args:
        model: a compiled `keras.Model`.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema or not optimizer.built:
        yield
        return
    variables = model.trainable_variables
    # Copies: on JAX two variables of one buffer would be donated twice.
    weights = [ops.convert_to_numpy(ops.copy(v)) for v in variables]
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(variables, averages, strict=True):
        variable.assign(ops.copy(average))
    try:
        yield
    finally:
        for variable, weight in zip(variables, weights, strict=True):
            variable.assign(weight)
