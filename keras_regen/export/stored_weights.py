"""Weights of a SavedModel, as they lie on disk."""

import keras
import numpy as np
import tensorflow as tf

# What is smaller stays as it is: it weighs nothing, and the SIREN's matrices, all of
# them smaller, do not bear rounding.
SMALLEST = 2**16


class StoredWeights(tf.Module):
    """The variables of a model in float32, bfloat16 or int8.

    int8 are whole numbers of one scale for each output channel, the weight of largest
    magnitude being 127 of them. Computation is in the model's own precision: only
    storage and what is read from memory shrink.

    Args:
        variables: sequence of Keras variables.
        dtype: `"float32"`, `"bfloat16"` or `"int8"`.
    """

    def __init__(self, variables, dtype):
        super().__init__()
        self.dtypes = [v.dtype for v in variables]
        self.values, self.scales = [], []
        for variable in variables:
            value = keras.ops.convert_to_numpy(variable.value)
            scale = None
            if value.size >= SMALLEST and value.ndim > 1:
                if dtype == "int8":
                    value, scale = _quantized(value.astype("float32"))
                elif dtype == "bfloat16":
                    value = value.astype(tf.bfloat16.as_numpy_dtype)
            name = variable.path.replace("/", ".")
            self.values.append(tf.Variable(value, trainable=False, name=name))
            if scale is not None:
                scale = tf.Variable(scale, trainable=False, name=f"{name}.scale")
            self.scales.append(scale)

    def tensors(self):
        """The weights as tensors, in the variables' own dtypes."""
        return [
            tf.cast(value, dtype)
            if scale is None
            else tf.cast(tf.cast(value, tf.float32) * scale, dtype)
            for value, scale, dtype in zip(
                self.values, self.scales, self.dtypes, strict=True
            )
        ]


def _quantized(value):
    """int8 and the float32 scales that give `value` back, but for rounding."""
    scale = np.max(np.abs(value), axis=tuple(range(value.ndim - 1))) / 127
    scale = np.where(scale > 0, scale, 1).astype("float32")
    return np.rint(value / scale).astype("int8"), scale
