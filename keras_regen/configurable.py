"""Bases of objects, layers and models that their `__init__` configures."""

import inspect
from typing import Any, Self

import keras

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def signature_config(instance: Any) -> dict[str, Any]:
    """Reads the arguments of an object's `__init__` from its attributes.

    Args:
        instance: Any that keeps every argument as an attribute of the same name.

    Returns:
        Dict of every argument but `*args` and `**kwargs`, in the signature's order.
    """
    parameters = inspect.signature(instance.__init__).parameters.values()
    return {
        parameter.name: getattr(instance, parameter.name)
        for parameter in parameters
        if parameter.kind not in VARIADIC
    }


class Configurable:
    """Base of objects that Keras saves and builds again from their arguments."""

    def get_config(self) -> dict[str, Any]:
        return signature_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


class ConfiguredLayer(keras.layers.Layer):
    """A layer whose configuration is the signature of its `__init__`.

    Subclasses keep every argument but `**kwargs` as an attribute of the same name, and
    override `get_config` only for an argument that must be serialised.
    """

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **signature_config(self)}


class FunctionalModel(keras.Model):
    """A functional model whose configuration is the signature of its `__init__`.

    Subclasses take `dtype`, `name` and `trainable` and keep every other argument as an
    attribute of the same name.

    Args:
        inputs: `KerasTensor`s, as for `keras.Model`.
        outputs: `KerasTensor`s, as for `keras.Model`.
        dtype: a `DTypePolicy`.
        **kwargs: `name` and `trainable`, as for `keras.Model`.
    """

    def __init__(
        self, inputs: Any, outputs: Any, dtype: keras.DTypePolicy, **kwargs: Any
    ) -> None:
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)
        # Each layer casts its own inputs: the decoder's times must stay float32.
        self.autocast = False
        # Keras leaves the policy of functional models at the global one.
        self.dtype_policy = dtype

    def get_config(self) -> dict[str, Any]:
        dtype = keras.dtype_policies.serialize(self.dtype_policy)
        return {**signature_config(self), "dtype": dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)
