"""Base of the functional models."""

from typing import Any, Self

import keras

from keras_regen.configurable import signature_config


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
