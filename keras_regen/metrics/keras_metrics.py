"""The metrics as Keras metrics, for `compile(metrics=[...])` on any backend."""

from typing import Any, Literal

import keras
from keras import ops

from keras_regen.metrics.formulas import decibels, mean_square, structural_similarity
from keras_regen.metrics.pair_checks import check_per, check_window
from keras_regen.types import Tensor


class MeanOfScores(keras.metrics.Mean):
    """Base class: the mean of a score over all frames or clips.

    A subclass defines `scores(y_true, y_pred)` for floats in [-1, 1]. Scores in dB have
    an attribute `limit`.

    Call arguments of `update_state`:
        y_true: tensor of shape `(B, ..., H, W, 3)`, uint8 or float in [-1, 1].
        y_pred: tensor of the same shape, uint8 or float in [-1, 1].
        sample_weight: tensor of shape `(B,)` or of the shape of the scores; or None.
    """

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> Any:
        y_true, y_pred = self._signed(y_true), self._signed(y_pred)
        return super().update_state(self.scores(y_true, y_pred), sample_weight)

    def _signed(self, video):
        video = ops.convert_to_tensor(video)
        dtype = keras.backend.standardize_dtype(video.dtype)
        if dtype == "uint8":
            return ops.cast(video, self.dtype) / 127.5 - 1
        if "float" not in dtype:
            raise ValueError(
                "A video must be uint8, or float in [-1, 1]. "
                f"Received: dtype={dtype}, shape={video.shape}"
            )
        return ops.cast(video, self.dtype)

    def _decibels(self, errors):
        # Equal frames would make the mean infinite.
        return decibels(ops.maximum(errors, 10 ** (-self.limit / 10)), ops)


@keras.saving.register_keras_serializable("keras_regen")
class PSNR(MeanOfScores):
    """Mean of the peak signal-to-noise ratio of frames or clips, in dB.

    Args:
        per: `"frame"`, or `"clip"` for videos of shape `(B, T, H, W, 3)`. Defaults to
            `"frame"`.
        limit: float. The maximum score of a frame or clip, in dB. Defaults to `100.0`.
        name: str. Defaults to `"psnr"`.
        dtype: str or None. Defaults to `None`, which is float32.

    Example:

    >>> metric = PSNR()
    >>> metric.update_state(np.zeros((1, 2, 8, 8, 3)), np.full((1, 2, 8, 8, 3), 0.2))
    >>> round(float(metric.result()), 4)
    20.0
    """

    def __init__(
        self,
        per: Literal["frame", "clip"] = "frame",
        limit: float = 100.0,
        name: str = "psnr",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_per(per, 5)
        self.per = per
        self.limit = limit

    def scores(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        check_per(self.per, len(y_true.shape))
        axes = (-3, -2, -1) if self.per == "frame" else (-4, -3, -2, -1)
        return self._decibels(mean_square(y_true - y_pred, 2, axes, ops))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "per": self.per, "limit": self.limit}


@keras.saving.register_keras_serializable("keras_regen")
class SSIM(MeanOfScores):
    """Mean of `keras_regen.metrics.ssim` over frames.

    Args:
        window: `"gaussian"` or `"uniform"`. Defaults to `"gaussian"`.
        name: str. Defaults to `"ssim"`.
        dtype: str or None. Defaults to `None`, which is float32.

    Example:

    >>> video = keras.random.uniform((1, 2, 16, 16, 3), -1, 1, seed=0)
    >>> metric = SSIM()
    >>> metric.update_state(video, video)
    >>> round(float(metric.result()), 4)
    1.0
    """

    def __init__(
        self,
        window: Literal["gaussian", "uniform"] = "gaussian",
        name: str = "ssim",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_window(window)
        self.window = window

    def scores(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        height, width = y_pred.shape[-3:-1]
        if height is None or width is None:
            height, width = y_true.shape[-3:-1]
        if height is None or width is None:
            raise ValueError(
                "SSIM must know the size of the frames. Received: "
                f"y_true.shape={y_true.shape}, y_pred.shape={y_pred.shape}"
            )
        side = min(height, width)
        return structural_similarity(y_true, y_pred, self.window, side, ops)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window}


@keras.saving.register_keras_serializable("keras_regen")
class TemporalConsistency(MeanOfScores):
    """Mean of `keras_regen.metrics.temporal_consistency` over clips, in dB.

    Args:
        limit: float. The maximum score of a clip, in dB. Defaults to `100.0`.
        name: str. Defaults to `"temporal_consistency"`.
        dtype: str or None. Defaults to `None`, which is float32.
    """

    def __init__(
        self,
        limit: float = 100.0,
        name: str = "temporal_consistency",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.limit = limit

    def scores(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if len(y_true.shape) < 4 or y_true.shape[-4] == 1:
            raise ValueError(
                "The videos must have shape (B, T, H, W, 3), T at least 2. "
                f"Received: y_true.shape={y_true.shape}"
            )
        errors = y_pred - y_true
        changes = errors[..., 1:, :, :, :] - errors[..., :-1, :, :, :]
        return self._decibels(mean_square(changes, 2, (-4, -3, -2, -1), ops))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "limit": self.limit}
