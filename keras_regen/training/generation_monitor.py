"""Watching what a generator makes while it trains."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_regen.generation import VideoGenerator
from keras_regen.training.monitor import Monitor
from keras_regen.types import StrPath


class GenerationMonitor(Monitor):
    """Generates the same videos after every epoch, with the averaged weights.

    Adds to the logs, and so to the history, `val_loss`, the loss on held-out latents.
    TensorBoard shows it, the training loss and the videos.

    Args:
        directory: path of TensorBoard's log.
        generator: a `VideoGenerator` of the model that is trained, or None for no
            videos. Defaults to `None`.
        samples: sequence of dict, the arguments of `generator.generate` for each video.
            Defaults to none.
        validation: latents that the model is not trained on, as its `fit` takes them,
            or None. Defaults to `None`.
        batch_size: int. Clips of `validation` in a batch. Defaults to `32`.
        step: int. The step at which training starts. Defaults to `0`.

    Raises:
        ImportError: without tensorboardX.
    """

    def __init__(
        self,
        directory: StrPath,
        generator: VideoGenerator | None = None,
        samples: Sequence[Mapping[str, Any]] = (),
        validation: Any = None,
        batch_size: int = 32,
        step: int = 0,
    ) -> None:
        fps = generator.defaults.fps if generator else 0.0
        super().__init__(directory, fps, step)
        self.generator = generator
        self.samples = samples
        self.validation = validation
        self.batch_size = batch_size

    def watch(self) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        scores: dict[str, float] = {}
        videos: dict[str, np.ndarray] = {}
        if self.validation is not None:
            scores["val_loss"] = self.model.evaluate(
                self.validation, batch_size=self.batch_size, verbose=0
            )
        if self.generator is not None:
            for i, sample in enumerate(self.samples):
                condition = sample.get("prompt", sample.get("label", ""))
                video = self.generator.generate(**sample)
                videos[f"sample_{i} {condition}".rstrip()] = np.asarray(video)
        return scores, videos
