"""Features of KerasCV's Video Swin Transformer."""

import contextlib
import functools
import importlib.util
import os
import pathlib
import warnings
from typing import Any

from keras_regen.metrics.features import Features, file_states

PRESET = "videoswin_base_kinetics400"
SIDE = 224
# With fewer, windows would be shorter than the ones that the weights are for.
MIN_FRAMES = 15
# The architecture of a bare file of weights, that of `PRESET`.
ARCHITECTURE = {
    "embed_dim": 128,
    "depths": [2, 2, 18, 2],
    "num_heads": [4, 8, 16, 32],
    "window_size": [8, 7, 7],
}


class VideoSwinFeatures(Features):
    """Embeds clips with KerasCV's Video Swin Transformer, trained on Kinetics.

    Frames are resized to 224x224, and the network subtracts ImageNet's mean and divides
    by its standard deviation. Its last maps are averaged over time and space. KerasCV
    imports TensorFlow, also where the network computes on JAX or PyTorch.

    It reads files when it is made, so it is not registered with Keras: to load a saved
    metric that uses it, pass `custom_objects={"VideoSwinFeatures": VideoSwinFeatures}`.

    Args:
        weights: str or path: the name of a preset of KerasCV, which KerasCV downloads;
            the directory of a preset that KerasCV saved; or a `.weights.h5` file for
            the architecture of the default. Defaults to
            `"videoswin_base_kinetics400"`.
        num_frames: int or None. The number of frames of clips, to load the network at
            once. With None, or for other clips, it is loaded at the first call.
            Defaults to `None`.
        batch_size: int. Clips in a batch. Defaults to `8`.

    Raises:
        ImportError: without keras-cv or TensorFlow.
        ValueError: if the weights cannot be loaded, or `num_frames` is below 15.

    Example:

    ```python
    features = VideoSwinFeatures()(video)  # (B, T, H, W, 3), T at least 15
    ```

    Reference:
        Liu et al. 2022, *Video Swin Transformer*.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] = PRESET,
        num_frames: int | None = None,
        batch_size: int = 8,
    ) -> None:
        self.weights = str(weights)
        self.num_frames = num_frames
        self._backbones: dict[int, Any] = {}
        super().__init__(
            self._call_backbone,
            name=f"videoswin-{pathlib.Path(self.weights).name}",
            size=(SIDE, SIDE),
            min_frames=MIN_FRAMES,
            batch_size=batch_size,
            value_range=(0.0, 255.0),
        )
        _import_keras_cv()
        if num_frames is not None:
            self._backbone(num_frames)

    @functools.cached_property
    def identity(self) -> list[Any]:
        # The weights may be the name of a preset.
        return [self.weights, file_states(self.weights)]

    def get_config(self) -> dict[str, Any]:
        return {
            "weights": self.weights,
            "num_frames": self.num_frames,
            "batch_size": self.batch_size,
        }

    def _call_backbone(self, clips):
        with _without_mask_warning():
            return self._backbone(clips.shape[1]).predict_on_batch(clips)

    def _backbone(self, num_frames):
        """Returns the network for clips of a length, which is part of its shape."""
        if num_frames not in self._backbones:
            self._backbones[num_frames] = _load(self.weights, num_frames)
        return self._backbones[num_frames]


def _load(weights, num_frames):
    if num_frames < MIN_FRAMES:
        raise ValueError(
            f"Video Swin needs at least {MIN_FRAMES} frames. "
            f"Received: num_frames={num_frames}"
        )
    backbone = _import_keras_cv().models.VideoSwinBackbone
    # The layers that normalise have no weights.
    inputs = {"input_shape": (num_frames, SIDE, SIDE, 3), "include_rescaling": True}
    try:
        with _without_mask_warning():
            if not weights.endswith(".weights.h5"):
                return backbone.from_preset(weights, load_weights=True, **inputs)
            model = backbone(**ARCHITECTURE, **inputs)
            model.load_weights(weights)
            return model
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "KerasCV cannot load the weights of Video Swin. They must be the name or "
            "the directory of a preset of KerasCV, or a `.weights.h5` file of "
            f"{PRESET}. Received: weights={weights}, and {error}"
        ) from error


def _import_keras_cv():
    for module in ("tensorflow", "keras_cv"):
        if importlib.util.find_spec(module) is None:
            raise ImportError(
                f"Video Swin is KerasCV's, and {module} is not installed. KerasCV "
                "needs TensorFlow on every backend: pip install keras-regen[cv]"
            )
    import keras_cv

    return keras_cv


@contextlib.contextmanager
def _without_mask_warning():
    """Silences that attention layers get a mask of windows as an argument `mask`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Layer 'video_swin_window_attention")
        yield
