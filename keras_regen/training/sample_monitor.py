"""Watching a model's samples while it trains."""

import numpy as np

from keras_regen.metrics import psnr
from keras_regen.training.monitor import Monitor
from keras_regen.types import StrPath

# Diffusion times at which the loss is measured.
NUM_TIMES = 8
# Frames per second of the clips shown.
FPS = 8.0
# Upper limit in dB, since the PSNR of two equal frames is infinite.
MAX_PSNR = 60.0


class SampleMonitor(Monitor):
    """Reconstructs the same clips after every epoch, with the averaged weights.

    Adds to the logs, and so to the history, `psnr`, in dB, of a reconstruction in one
    step; and for a generative model its diffusion loss at 8 times spread evenly over
    [0, 1], as `loss_at_0.06` and so on. TensorBoard shows these, the training loss, and
    each clip next to its reconstruction, as a video and, for the first frame alone, as
    an image.

    Args:
        directory: path of TensorBoard's log.
        clips: uint8 array of shape `(N, k + 1, H, W, 3)`, N at least 1.
        batch_size: int. Clips to decode together. Defaults to `4`.
        step: int. The step at which training starts. Defaults to `0`.

    Raises:
        ImportError: without tensorboardX.
        ValueError: if the shape or dtype of the clips is wrong.
    """

    def __init__(
        self, directory: StrPath, clips: np.ndarray, batch_size: int = 4, step: int = 0
    ) -> None:
        if clips.ndim != 5 or clips.dtype != "uint8" or not len(clips):
            raise ValueError(
                "`clips` must be uint8 of shape (N, k + 1, H, W, 3). "
                f"Received: shape {clips.shape}, dtype {clips.dtype}"
            )
        super().__init__(directory, FPS, step)
        self.clips = clips
        self.batch_size = batch_size

    def watch(self) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        times = (np.arange(NUM_TIMES) + 0.5) / NUM_TIMES
        losses, quality = [], []
        pairs: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, len(self.clips), self.batch_size):
            clips = self.clips[start : start + self.batch_size]
            decoded = self.model.reconstruct(clips)
            # A single image is a chunk with a content latent and no motion latents.
            stills = self.model.reconstruct(clips[:, :1])
            quality.extend(np.minimum(psnr(clips, decoded), MAX_PSNR).mean(axis=1))
            if self.model.is_generative:
                losses.append(self.model.denoising_losses(clips, times))
            pairs.extend(
                zip(
                    np.concatenate([clips, decoded], axis=3),
                    np.concatenate([clips[:, :1], stills], axis=3),
                    strict=True,
                )
            )
        scores = {"psnr": float(np.mean(quality))}
        if self.model.is_generative:
            by_time = np.concatenate(losses, axis=1).mean(axis=1)
            for t, loss in zip(times, by_time, strict=True):
                scores[f"loss_at_{t:.2f}"] = float(loss)
        shown: dict[str, np.ndarray] = {}
        for i, (clip, still) in enumerate(pairs):
            shown |= {f"clip_{i}": clip, f"image_{i}": still}
        return scores, shown
