"""Networks that embed videos, for distances between sets of videos."""

import functools
import math
import pathlib
from collections.abc import Callable
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_regen.batches import Batches
from keras_regen.checks import check_whole
from keras_regen.metrics.i3d import I3D, MIN_FRAMES, NUM_CLASSES, SIDE
from keras_regen.pixels import to_unit_range
from keras_regen.types import StrPath, Tensor
from keras_regen.weights_digest import weights_digest


class Features:
    """Embeds clips with any function, in batches.

    Args:
        function: callable that takes float32 clips, a backend tensor of shape
            `(B, T, h, w, 3)`, and returns an array or tensor of shape `(B, ..., D)`.
            It is averaged over the axes in between.
        name: str. A unique name for the features, for reports.
        size: tuple of int `(h, w)` to resize frames to, or None to keep their size.
            Resizing is bilinear, with aligned pixel centres and without anti-aliasing,
            as in StyleGAN-V. Defaults to `None`.
        min_frames: int. The minimum T. Defaults to `1`.
        batch_size: int. Clips in a batch. Defaults to `8`.
        value_range: tuple of float. The values of black and white that the function
            expects. Defaults to `(-1, 1)`.
        num_features: int or None. D, or None to take it from the first call. Defaults
            to `None`.

    Attributes:
        identity: a JSON value that differs between networks of the same name.

    Call arguments:
        video: array of shape `(B, T, H, W, 3)`, uint8 or float in [-1, 1].

    Returns:
        float32 NumPy array of shape `(B, D)`.

    Raises:
        ValueError: if the video or the output of the function is not as above.

    Example:

    >>> colour = Features(lambda clips: clips, "mean-colour")
    >>> colour(np.full((2, 3, 4, 4, 3), 255, "uint8")).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    identity: Any = None

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        name: str,
        size: tuple[int, int] | None = None,
        min_frames: int = 1,
        batch_size: int = 8,
        value_range: tuple[float, float] = (-1.0, 1.0),
        num_features: int | None = None,
    ) -> None:
        check_whole(1, math.inf, batch_size=batch_size)
        self.function = function
        self.name = name
        self.size = None if size is None else tuple(size)
        self.min_frames = min_frames
        self.batch_size = batch_size
        self.value_range = tuple(value_range)
        self.num_features = num_features
        self._in_batches = Batches(self._embed, batch_size)

    def __call__(self, video: ArrayLike) -> np.ndarray:
        video = np.asarray(video)
        if video.ndim != 5 or video.shape[-1] != 3 or 0 in video.shape:
            raise ValueError(
                "`video` must have shape (B, T, H, W, 3). "
                f"Received: video.shape={video.shape}"
            )
        if video.dtype != "uint8" and not np.issubdtype(video.dtype, np.floating):
            raise ValueError(
                "`video` must be uint8, or float in [-1, 1]. "
                f"Received: video.dtype={video.dtype}"
            )
        if video.shape[1] < self.min_frames:
            raise ValueError(
                f"{self.name} needs at least {self.min_frames} frames. "
                f"Received: video.shape={video.shape}"
            )
        return self._in_batches(video)

    def _embed(self, video):
        """Returns the features of one batch."""
        clips = ops.convert_to_tensor(to_unit_range(video), "float32")
        if self.size not in (None, video.shape[2:4]):
            frames = ops.reshape(clips, (-1, *video.shape[2:]))
            frames = ops.image.resize(
                frames, self.size, antialias=False, data_format="channels_last"
            )
            clips = ops.reshape(frames, (*video.shape[:2], *self.size, 3))
        low, high = self.value_range
        if (low, high) != (-1, 1):
            clips = (clips + 1.0) * ((high - low) / 2) + low
        output = self.function(clips)
        if ops.is_tensor(output):
            output = ops.convert_to_numpy(output)
        output = np.asarray(output, "float32")
        if output.ndim < 2 or len(output) != len(video):
            raise ValueError(
                f"{self.name} must return features of shape (B, ..., D) for "
                f"{len(video)} clips. Received: shape {output.shape}"
            )
        features = output.mean(axis=tuple(range(1, output.ndim - 1)))
        if self.num_features is None:
            self.num_features = features.shape[1]
        if features.shape[1] != self.num_features:
            raise ValueError(
                f"{self.name} must return {self.num_features} features. "
                f"Received: shape {output.shape}"
            )
        return features

    def _shared_config(self):
        """Returns the arguments that subclasses pass on to this class."""
        return {
            "name": self.name,
            "size": self.size,
            "min_frames": self.min_frames,
            "batch_size": self.batch_size,
            "value_range": self.value_range,
            "num_features": self.num_features,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


class I3DFeatures(Features):
    """The logits of the Kinetics-400 I3D, the features of the Frechet video distance.

    Frames are resized to 224x224 as in StyleGAN-V. The original implementation, in
    TensorFlow 1, aligned the corners of pixels instead, so its distances of videos of
    other sizes differ a little. Distances of clips of different lengths cannot be
    compared.

    It reads a file when it is made, so it is not registered with Keras: to load a saved
    metric that uses it, pass `custom_objects={"I3DFeatures": I3DFeatures}`.

    Args:
        weights: path of the weights, or None for the weights in the cache. See
            `I3D.from_weights`. Defaults to `None`.
        batch_size: int. Clips in a batch. Defaults to `8`.

    Raises:
        ImportError: if there are no weights. The message says how to get them.

    Example:

    ```python
    features = I3DFeatures()(video)  # (B, T, H, W, 3), T at least 9, to (B, 400)
    ```

    Reference:
        Unterthiner et al. 2018, *Towards Accurate Generative Models of Video: A New
        Metric & Challenges*; Skorokhodov et al. 2022, *StyleGAN-V*.
    """

    def __init__(self, weights: StrPath | None = None, batch_size: int = 8) -> None:
        self.weights = None if weights is None else str(weights)
        super().__init__(
            I3D.from_weights(weights).predict_on_batch,
            name="i3d-kinetics-400-logits",
            size=(SIDE, SIDE),
            min_frames=MIN_FRAMES,
            batch_size=batch_size,
            num_features=NUM_CLASSES,
        )

    def get_config(self) -> dict[str, Any]:
        return {"weights": self.weights, "batch_size": self.batch_size}


@keras.saving.register_keras_serializable(package="keras_regen")
class KerasFeatures(Features):
    """Embeds clips with a Keras model.

    Args:
        model: `keras.Model` that maps `(B, T, h, w, 3)` to `(B, ..., D)`.
        name: str. See `Features`.
        **kwargs: see `Features`.

    Example:

    ```python
    backbone = keras_cv.models.VideoSwinBackbone.from_preset(
        "videoswin_base_kinetics400"
    )
    features = KerasFeatures(
        backbone, "videoswin-base-k400", size=(224, 224), value_range=(0, 255)
    )
    ```
    """

    def __init__(self, model: keras.Model, name: str, **kwargs: Any) -> None:
        super().__init__(model.predict_on_batch, name, **kwargs)
        self.model = model

    @functools.cached_property
    def identity(self) -> str:
        return weights_digest(self.model.get_weights())

    def get_config(self) -> dict[str, Any]:
        model = keras.saving.serialize_keras_object(self.model)
        return {"model": model, **self._shared_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        model = keras.saving.deserialize_keras_object(config["model"])
        return super().from_config({**config, "model": model})


def file_states(path: StrPath) -> list[Any]:
    """Returns paths, times and sizes of a file or of all in a directory, for JSON.

    Returns:
        List, empty if there is nothing at the path.
    """
    path = pathlib.Path(path).resolve()
    files = [path, *sorted(path.rglob("*"))]
    return [
        [str(file), file.stat().st_mtime, file.stat().st_size]
        for file in files
        if file.is_file()
    ]
