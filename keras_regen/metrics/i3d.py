"""I3D, the Inflated 3D Inception network, trained on Kinetics-400."""

from typing import Any, Self

import keras
from keras import layers

from keras_regen.metrics.metric_weights import load_metric_weights
from keras_regen.types import StrPath

SIDE = 224
MIN_FRAMES = 9
NUM_CLASSES = 400

# Filters of the four branches: 1x1x1; 1x1x1 then 3x3x3; the same again; after pooling.
MODULES = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}


@keras.saving.register_keras_serializable(package="keras_regen")
class I3D(keras.Model):
    """I3D: classifies the action in a video.

    Its logits are the features of the Frechet video distance. It is frozen, and float32
    under every policy, so that distances can be compared. Its weights are zero until
    they are loaded.

    Input shape:
        `(B, T, 224, 224, 3)`, float in [-1, 1], T at least 9.

    Output shape:
        `(B, 400)`: logits of the classes of Kinetics-400, averaged over time.

    Example:

    ```python
    logits = I3D.from_weights().predict_on_batch(video)
    ```

    Reference:
        Carreira and Zisserman 2017, *Quo Vadis, Action Recognition? A New Model and the
        Kinetics Dataset*, figure 3; Unterthiner et al. 2018, *Towards Accurate
        Generative Models of Video: A New Metric & Challenges*.
    """

    def __init__(self, name: str = "i3d", trainable: bool = False) -> None:
        # === Functional Model ===
        video = keras.Input((None, SIDE, SIDE, 3), dtype="float32", name="video")
        x = _unit(video, 64, 7, "conv3d_1a_7x7", strides=2)
        x = _max_pool(x, (1, 3, 3), (1, 2, 2), "max_pool_2a")
        x = _unit(x, 64, 1, "conv3d_2b_1x1")
        x = _unit(x, 192, 3, "conv3d_2c_3x3")
        x = _max_pool(x, (1, 3, 3), (1, 2, 2), "max_pool_3a")
        for module, filters in MODULES.items():
            if module == "mixed_4b":
                x = _max_pool(x, 3, 2, "max_pool_4a")
            if module == "mixed_5b":
                x = _max_pool(x, 2, 2, "max_pool_5a")
            x = _inception(x, filters, module)
        x = layers.AveragePooling3D((2, 7, 7), 1, dtype="float32", name="pool")(x)
        x = layers.Conv3D(
            NUM_CLASSES,
            1,
            kernel_initializer="zeros",
            dtype="float32",
            name="logits_conv3d_0c_1x1_conv",
        )(x)
        logits = layers.GlobalAveragePooling3D(dtype="float32", name="mean")(x)
        super().__init__(inputs=video, outputs=logits, name=name, trainable=trainable)
        # Functional models use the global policy and would cast their inputs to it.
        self.dtype_policy = keras.dtype_policies.get("float32")

    @classmethod
    def from_weights(cls, path: StrPath | None = None) -> Self:
        """Returns the network with its published weights.

        Args:
            path: path of a `.weights.h5` file of this network, or None for the one that
                `keras-regen metric-weights i3d` puts in the cache. Defaults to `None`.

        Raises:
            ImportError: if there are no weights in the cache. The message says how to
                get them.
            ValueError: if the file does not hold the published weights.
        """
        model = cls()
        load_metric_weights(model, "i3d", path)
        return model

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def _unit(x, filters, kernel_size, name, strides=1):
    """Applies a convolution, normalisation without a scale, and ReLU."""
    x = layers.Conv3D(
        filters,
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        # Zeros, since JAX would compile a random generator for each shape.
        kernel_initializer="zeros",
        dtype="float32",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(
        epsilon=1e-3, scale=False, dtype="float32", name=f"{name}_norm"
    )(x)
    return layers.ReLU(dtype="float32", name=f"{name}_relu")(x)


def _max_pool(x, pool_size, strides, name):
    return layers.MaxPooling3D(
        pool_size, strides, padding="same", dtype="float32", name=name
    )(x)


def _inception(x, filters, name):
    """Applies the four branches of an Inception module."""
    branches = [_unit(x, filters[0], 1, f"{name}_branch_0_conv3d_0a_1x1")]
    for i in (1, 2):
        y = _unit(x, filters[2 * i - 1], 1, f"{name}_branch_{i}_conv3d_0a_1x1")
        y = _unit(y, filters[2 * i], 3, f"{name}_branch_{i}_conv3d_0b_3x3")
        branches.append(y)
    y = _max_pool(x, 3, 1, f"{name}_branch_3_max_pool")
    branches.append(_unit(y, filters[5], 1, f"{name}_branch_3_conv3d_0b_1x1"))
    return layers.Concatenate(dtype="float32", name=name)(branches)
