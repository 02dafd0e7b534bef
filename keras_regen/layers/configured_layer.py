"""Base of the layers."""

from typing import Any

import keras

from keras_regen.configurable import signature_config


class ConfiguredLayer(keras.layers.Layer):
    """A layer whose configuration is the signature of its `__init__`.

    Subclasses keep every argument but `**kwargs` as an attribute of the same name, and
    override `get_config` only for an argument that must be serialised.
    """

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **signature_config(self)}
