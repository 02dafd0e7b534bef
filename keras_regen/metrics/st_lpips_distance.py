"""ST-LPIPS, a shift-tolerant perceptual distance."""

import functools
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_regen.batches import Batches
from keras_regen.metrics.pair_checks import check_pair
from keras_regen.metrics.st_lpips_network import MIN_SIDES, STLPIPSNetwork
from keras_regen.pixels import to_unit_range
from keras_regen.types import StrPath, Tensor


def st_lpips(
    reference: ArrayLike,
    video: ArrayLike,
    trunk: Literal["alex", "vgg"] = "alex",
    weights: StrPath | None = None,
    batch_size: int = 8,
) -> np.ndarray:
    """Computes ST-LPIPS of each frame: how different it looks.

    ST-LPIPS is LPIPS on networks without aliasing, so that shifts by a pixel change it
    little.

    Args:
        reference: array of shape `(..., H, W, 3)`, uint8 or float in [-1, 1], sides at
            least 21 for `"alex"` and 18 for `"vgg"`.
        video: array of the shape and dtype of `reference`.
        trunk: str. `"alex"` for AlexNet, or `"vgg"` for the slower VGG16.
            Defaults to `"alex"`.
        weights: path of the weights, or None for the weights in the cache. See
            `STLPIPSNetwork.from_weights`. Defaults to `None`.
        batch_size: int. Frames in a batch. Defaults to `8`.

    Returns:
        float32 array of shape `(...,)`; 0 where the frames are equal.

    Raises:
        ValueError: if the arguments are not as above.
        ImportError: if there are no weights. The message says how to get them.

    Example:

    ```python
    st_lpips(video, reconstruction).mean()
    ```

    Reference:
        Ghildyal and Liu 2022, *Shift-tolerant Perceptual Similarity Metric*.
    """
    reference, video, _ = check_pair(reference, video, None)
    _check_sides(reference.shape, trunk)
    network = _network(trunk, None if weights is None else str(weights))

    def distances(*pair):
        pair = [np.asarray(to_unit_range(frames), "float32") for frames in pair]
        return network.predict_on_batch(pair)

    pair = [array.reshape(-1, *array.shape[-3:]) for array in (reference, video)]
    if not len(pair[0]):
        return np.zeros(reference.shape[:-3], "float32")
    return Batches(distances, batch_size)(*pair).reshape(reference.shape[:-3])


class STLPIPS(keras.metrics.Mean):
    """Mean of `st_lpips` over all frames of all videos.

    It uses only Keras, so it works in compiled graphs, as in
    `model.compile(metrics=[STLPIPS()])`. It reads a file when it is made, so it is not
    registered with Keras: to load a model that was compiled with it, pass
    `custom_objects={"STLPIPS": STLPIPS}`.

    Args:
        trunk: str. `"alex"` or `"vgg"`. Defaults to `"alex"`.
        weights: path of the weights, or None for the weights in the cache. Defaults to
            `None`.
        name: str. Defaults to `"st_lpips"`.

    Raises:
        ImportError: if there are no weights. The message says how to get them.

    Example:

    ```python
    metric = STLPIPS()
    for reference in clips:
        metric.update_state(reference, regen.reconstruct(reference))
    print(float(metric.result()))
    ```
    """

    def __init__(
        self,
        trunk: Literal["alex", "vgg"] = "alex",
        weights: StrPath | None = None,
        name: str = "st_lpips",
    ) -> None:
        super().__init__(name=name, dtype="float32")
        self.trunk = trunk
        self.weights = None if weights is None else str(weights)
        # Created here, because a graph must not create weights.
        self._network = _network(trunk, self.weights)

    def update_state(
        self, reference: Tensor, video: Tensor, sample_weight: Tensor = None
    ) -> None:
        """Adds the frames of videos.

        Args:
            reference: array or tensor of shape `(..., H, W, 3)`, uint8 or float in
                [-1, 1]. H and W must be known, also in a graph.
            video: as `reference`, of its shape.
            sample_weight: None, or an array of weights for videos or frames. Its shape
                is `(...,)` or the first axes of it. Defaults to `None`.
        """
        reference, video = (
            ops.cast(to_unit_range(ops.convert_to_tensor(x)), "float32")
            for x in (reference, video)
        )
        _check_sides(reference.shape, self.trunk)
        frames = [ops.reshape(x, (-1, *x.shape[-3:])) for x in (reference, video)]
        distances = self._network(frames, training=False)
        if sample_weight is not None:
            shape = ops.shape(reference)[:-3]
            weight = ops.convert_to_tensor(sample_weight, "float32")
            missing = len(shape) - len(weight.shape)
            weight = ops.reshape(weight, (*ops.shape(weight), *[1] * missing))
            sample_weight = ops.reshape(ops.broadcast_to(weight, shape), (-1,))
        # One flat row of frames: with more axes, Keras would count only the first.
        super().update_state(distances, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {"trunk": self.trunk, "weights": self.weights, "name": self.name}


@functools.lru_cache(maxsize=2)
def _network(trunk, weights):
    return STLPIPSNetwork.from_weights(trunk, weights)


def _check_sides(shape, trunk):
    side = MIN_SIDES.get(trunk, 1)
    if min(shape[-3:-1]) < side:
        raise ValueError(
            f"ST-LPIPS with {trunk!r} needs sides of at least {side}. "
            f"Received: shape={tuple(shape)}"
        )
