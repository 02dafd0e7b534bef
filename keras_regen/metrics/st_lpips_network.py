"""The network of ST-LPIPS, a shift-tolerant perceptual distance."""

from typing import Any, Self

import keras
from keras import layers, ops

from keras_regen.metrics.metric_weights import load_metric_weights
from keras_regen.types import Shape, StrPath, Tensor

# Means and standard deviations of the colours of ImageNet, in [-1, 1].
COLOUR_MEAN = (-0.030, -0.088, -0.188)
COLOUR_STD = (0.458, 0.448, 0.450)
EPSILON = 1e-10

# Filters of the convolutions of each stage. Every stage ends with a distance.
VGG_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# The smallest side of an image that the trunk does not shrink to nothing.
MIN_SIDES = {"alex": 21, "vgg": 18}


@keras.saving.register_keras_serializable(package="keras_regen")
class BlurDownsample(layers.Layer):
    """Blurs with (1, 2, 1) / 4 along height and width, and halves both.

    First pads two pixels at each edge by reflection, so that a side of n becomes
    (n + 3) // 2.
    """

    def call(self, images: Tensor) -> Tensor:
        x = ops.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="reflect")
        x = (x[:, :-2:2] + 2.0 * x[:, 1:-1:2] + x[:, 2::2]) / 4.0
        return (x[:, :, :-2:2] + 2.0 * x[:, :, 1:-1:2] + x[:, :, 2::2]) / 4.0

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, *sides, channels = input_shape
        sides = [None if side is None else (side + 3) // 2 for side in sides]
        return (batch, *sides, channels)


@keras.saving.register_keras_serializable(package="keras_regen")
class FeatureDifference(layers.Layer):
    """Mean over space of the squared difference of unit feature vectors."""

    def call(self, reference: Tensor, features: Tensor) -> Tensor:
        difference = _to_unit_length(reference) - _to_unit_length(features)
        return ops.mean(ops.square(difference), axis=(1, 2))

    def compute_output_shape(
        self, reference_shape: Shape, features_shape: Shape
    ) -> Shape:
        return (reference_shape[0], reference_shape[-1])


@keras.saving.register_keras_serializable(package="keras_regen")
class STLPIPSNetwork(keras.Model):
    """ST-LPIPS: how different two images look, tolerant of shifts by a pixel.

    LPIPS on a network that blurs before every stride. It is frozen, and float32 under
    every policy. Its weights are zero until they are loaded.

    Args:
        trunk: str. `"alex"` for AlexNet or `"vgg"` for VGG16. Defaults to `"alex"`.

    Call arguments:
        inputs: list of the reference and the images, each `(B, H, W, 3)`, float in
            [-1, 1], sides at least 21 for `"alex"` and 18 for `"vgg"`.

    Output shape:
        `(B,)`: the distances, 0 for equal images.

    Reference:
        Ghildyal and Liu 2022, *Shift-tolerant Perceptual Similarity Metric*; Zhang et
        al. 2018, *The Unreasonable Effectiveness of Deep Features as a Perceptual
        Metric*, equation 1.
    """

    def __init__(
        self, trunk: str = "alex", name: str | None = None, trainable: bool = False
    ) -> None:
        if trunk not in MIN_SIDES:
            raise ValueError(
                f"`trunk` must be one of {', '.join(MIN_SIDES)}. "
                f"Received: trunk={trunk!r}"
            )
        # === Functional Model ===
        images = keras.Input((None, None, 3), dtype="float32", name="images")
        x = layers.Rescaling(
            [1 / std for std in COLOUR_STD],
            [-mean / std for mean, std in zip(COLOUR_MEAN, COLOUR_STD, strict=True)],
            dtype="float32",
            name="colours",
        )(images)
        stages = list((_alex if trunk == "alex" else _vgg)(x))
        features = keras.Model(images, stages, name="trunk")
        pair = [
            keras.Input((None, None, 3), dtype="float32", name=name)
            for name in ("reference", "images")
        ]
        distances = []
        for i, (x, y) in enumerate(zip(*map(features, pair), strict=True), start=1):
            difference = FeatureDifference(dtype="float32", name=f"difference_{i}")
            head = layers.Dense(
                1,
                use_bias=False,
                kernel_initializer="zeros",
                dtype="float32",
                name=f"head_{i}",
            )
            distances.append(head(difference(x, y)))
        distance = layers.Add(dtype="float32", name="sum")(distances)
        distance = layers.Reshape((), dtype="float32", name="distance")(distance)
        super().__init__(inputs=pair, outputs=distance, name=name, trainable=trainable)
        # Functional models use the global policy and would cast their inputs to it.
        self.dtype_policy = keras.dtype_policies.get("float32")

        # === Config ===
        self.trunk = trunk

    @classmethod
    def from_weights(cls, trunk: str = "alex", path: StrPath | None = None) -> Self:
        """Returns the network with its published weights.

        Args:
            trunk: str. `"alex"` or `"vgg"`. Defaults to `"alex"`.
            path: path of a `.weights.h5` file of this network, or None for the one that
                `keras-regen metric-weights st-lpips-<trunk>` puts in the cache.
                Defaults to `None`.

        Raises:
            ImportError: if there are no weights in the cache. The message says how to
                get them.
            ValueError: if the file does not hold the published weights.
        """
        model = cls(trunk)
        load_metric_weights(model, f"st-lpips-{trunk}", path)
        return model

    def get_config(self) -> dict[str, Any]:
        return {"trunk": self.trunk, "name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def _alex(x):
    """Yields the outputs of AlexNet's stages. The first convolution has stride 1."""
    x = layers.ZeroPadding2D(2, dtype="float32", name="conv_1_pad")(x)
    x = _conv(x, 1, 64, 11, padding="valid")
    x = _blur_downsample(x, "conv_1_blur")
    x = _relu(x, 1)
    yield x
    for i, (filters, kernel_size) in enumerate(
        ((192, 5), (384, 3), (256, 3), (256, 3)), start=2
    ):
        if i in (2, 3):
            x = _pool(x, 3, f"pool_{i}")
        x = _relu(_conv(x, i, filters, kernel_size), i)
        yield x


def _vgg(x):
    """Yields the outputs of VGG16's stages."""
    number = 0
    for i, stage in enumerate(VGG_STAGES, start=1):
        if i > 1:
            x = _pool(x, 2, f"pool_{i}")
        for filters in stage:
            number += 1
            x = _relu(_conv(x, number, filters, 3), number)
        yield x


def _conv(x, number, filters, kernel_size, padding="same"):
    return layers.Conv2D(
        filters,
        kernel_size,
        padding=padding,
        # Zeros, since JAX would compile a random generator for each shape.
        kernel_initializer="zeros",
        dtype="float32",
        name=f"conv_{number}",
    )(x)


def _relu(x, number):
    return layers.ReLU(dtype="float32", name=f"relu_{number}")(x)


def _pool(x, pool_size, name):
    """Takes the maximum at every position, then downsamples."""
    x = layers.MaxPooling2D(pool_size, 1, dtype="float32", name=name)(x)
    return _blur_downsample(x, f"{name}_blur")


def _blur_downsample(x, name):
    return BlurDownsample(dtype="float32", name=name)(x)


def _to_unit_length(features):
    squares = ops.sum(ops.square(features), axis=-1, keepdims=True)
    # Without the maximum, the root has an infinite slope where all features are zero.
    return features / (ops.sqrt(ops.maximum(squares, EPSILON**2)) + EPSILON)
