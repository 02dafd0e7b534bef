"""The Frechet video distance."""

import warnings
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_regen.metrics.features import Features, I3DFeatures
from keras_regen.metrics.frechet_distance import FEW_CLIPS, FeatureStatistics
from keras_regen.types import Tensor


def frechet_video_distance(
    reference: ArrayLike, video: ArrayLike, features: Features | None = None
) -> float:
    """Computes the FVD, the distance between two sets of clips.

    Args:
        reference: array of shape `(N, T, H, W, 3)`, uint8 or float in [-1, 1].
        video: array of shape `(M, T, H, W, 3)`, uint8 or float in [-1, 1].
        features: `Features`, or None for `I3DFeatures()`. Defaults to `None`.

    Returns:
        float, 0 or more; NaN with fewer than two clips in a set. Distances are only
        comparable for the same features, length of clips and number of clips.

    Raises:
        ValueError: if the arrays are not as above, or too short for the features.
        ImportError: if there are no weights of I3D. The message says how to get them.

    Warns:
        UserWarning: if a set has fewer than 256 clips, so that the distance is biased
            upwards.

    Example:

    ```python
    print(frechet_video_distance(clips, reconstructions))
    ```

    Reference:
        Unterthiner et al. 2018, *Towards Accurate Generative Models of Video: A New
        Metric & Challenges*.
    """
    metric = FrechetVideoDistance(features)
    metric.update_state(reference, video)
    return metric.result()


@keras.saving.register_keras_serializable(package="keras_regen")
class FrechetVideoDistance(keras.metrics.Metric):
    """`frechet_video_distance` of clips that come in batches.

    It computes statistics in float64 from NumPy arrays, so it runs outside compiled
    graphs: call `update_state` in your own loop or in a callback. In
    `compile(metrics=[...])` it needs `run_eagerly=True`, and does not work on JAX.

    Args:
        features: `Features`, or None for `I3DFeatures()`. Defaults to `None`.
        name: str. Defaults to `"frechet_video_distance"`.

    Attributes:
        reference_statistics: `FeatureStatistics` of the reference clips.
        statistics: `FeatureStatistics` of the other clips.

    Example:

    ```python
    metric = FrechetVideoDistance()
    for reference in clips:
        metric.update_state(reference, regen.reconstruct(reference))
    print(metric.report())
    ```
    """

    def __init__(
        self, features: Features | None = None, name: str = "frechet_video_distance"
    ) -> None:
        # JAX would make variables float32, so the state is not in variables.
        super().__init__(name=name, dtype="float32")
        self.features = I3DFeatures() if features is None else features
        self.reset_state()

    def reset_state(self) -> None:
        self.reference_statistics: FeatureStatistics | None = None
        self.statistics: FeatureStatistics | None = None
        self._clip_shape: tuple[int, ...] | None = None
        self._warned = False

    def update_state(
        self, reference: Tensor, video: Tensor, sample_weight: None = None
    ) -> None:
        """Adds clips.

        Args:
            reference: as for `frechet_video_distance`.
            video: as for `frechet_video_distance`. The number of clips may differ.
            sample_weight: must be None, because all clips count equally.

        Raises:
            ValueError: if the clips are not as above or have another shape than
                earlier ones.
            RuntimeError: in a compiled graph.
        """
        if sample_weight is not None:
            raise ValueError(
                "All clips of a Frechet distance count equally. "
                f"Received: sample_weight={sample_weight}"
            )
        reference, video = _to_numpy(reference), _to_numpy(video)
        expected = self._clip_shape or reference.shape[1:]
        if not expected == reference.shape[1:] == video.shape[1:]:
            raise ValueError(
                f"All clips must have the shape {expected}. Received: "
                f"reference.shape={reference.shape}, video.shape={video.shape}"
            )
        self.update_features(self.features(reference), self.features(video))
        self._clip_shape = expected

    def update_features(
        self, reference_features: ArrayLike, features: ArrayLike
    ) -> None:
        """Adds features that were computed before.

        Args:
            reference_features: float array of shape `(N, D)`.
            features: float array of shape `(M, D)`.

        Raises:
            ValueError: if they are not as above, or not finite.
        """
        if self.reference_statistics is None or self.statistics is None:
            num_features = self.features.num_features or np.shape(features)[-1]
            self.reference_statistics = FeatureStatistics(num_features)
            self.statistics = FeatureStatistics(num_features)
        self.reference_statistics.update(reference_features)
        self.statistics.update(features)

    def result(self) -> float:
        """Returns the distance, a float; NaN with fewer than two clips in a set."""
        clips = min(self._num_clips())
        if self.reference_statistics is None or self.statistics is None or clips < 2:
            return float("nan")
        if clips < FEW_CLIPS and not self._warned:
            self._warned = True
            warnings.warn(
                f"A Frechet video distance of fewer than {FEW_CLIPS} clips is biased "
                f"upwards. Received: {clips} clips",
                UserWarning,
                stacklevel=2,
            )
        return self.reference_statistics.distance(self.statistics)

    def report(self) -> dict[str, Any]:
        """Returns the distance, and the conditions for comparing it with others.

        Returns:
            dict with the keys `"frechet_video_distance"`, `"features"` (the name of the
            network), `"reference_clips"` and `"clips"` (their numbers), `"frames"`,
            `"height"` and `"width"` (of a clip; None if only features were added).
        """
        value = self.result()
        reference_clips, clips = self._num_clips()
        frames, height, width, _ = self._clip_shape or (None,) * 4
        return {
            "frechet_video_distance": value,
            "features": self.features.name,
            "reference_clips": reference_clips,
            "clips": clips,
            "frames": frames,
            "height": height,
            "width": width,
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "features": keras.saving.serialize_keras_object(self.features),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        features = keras.saving.deserialize_keras_object(config["features"])
        return cls(**{**config, "features": features})

    def _num_clips(self):
        if self.reference_statistics is None or self.statistics is None:
            return 0, 0
        return self.reference_statistics.count, self.statistics.count


def _to_numpy(video):
    if not ops.is_tensor(video):
        return np.asarray(video)
    try:
        return ops.convert_to_numpy(video)
    except (NotImplementedError, TypeError) as error:
        raise RuntimeError(
            "A Frechet video distance cannot be part of a compiled graph: compile the "
            "model with run_eagerly=True, or call it in a loop. "
            f"Received: video={video}"
        ) from error
