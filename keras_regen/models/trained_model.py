"""Base of the models that are trained by a loss of their own."""

from typing import Any, Self

import keras
from keras import ops

from keras_regen.configurable import signature_config


def assign_averages(model: keras.Model) -> None:
    """Makes the optimiser's moving averages the model's weights.

    Without `use_ema` nothing changes.

    Args:
        model: a compiled `keras.Model` whose optimiser is built.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if optimizer.use_ema:
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(model.trainable_variables, averages, strict=True):
            # A copy: on JAX two variables of one buffer would be donated twice.
            variable.assign(ops.copy(average))


class TrainedModel(keras.Model):
    """A model whose configuration is the signature of its `__init__`.

    Subclasses keep every argument but `**kwargs` as an attribute of the same name. If
    the optimiser averages the weights, the averages are the weights after `fit`.
    """

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        history = super().fit(*args, **kwargs)
        # Keras ends a fit by assigning the averages to the weights without copying
        # them, and the next fit on JAX would fail.
        assign_averages(self)
        return history

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        arguments = signature_config(self)
        return {
            **super().get_config(),
            **{name: serialize(value) for name, value in arguments.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        return cls(
            **{
                name: deserialize(value) if isinstance(value, dict) else value
                for name, value in config.items()
            }
        )
