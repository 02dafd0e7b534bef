"""Watching a model learn."""

import keras
import numpy as np

from keras_regen.metrics import psnr
from keras_regen.training.averaging import averaged_weights
from keras_regen.training.tensorboard_log import TensorBoardLog

NUM_BINS = 8
FPS = 8.0
# What two equal frames count, in dB.
PSNR_LIMIT = 60.0


class SampleMonitor(keras.callbacks.Callback):
    """Looks at the same clips after every epoch, with the averaged weights.

    Adds to the logs, and so to the history: `psnr` in dB, in one step, and the
    diffusion loss, if it has one, at `NUM_BINS` times evenly spread over [0, 1],
    `loss_at_0.06` and so on. TensorBoard gets these and the training loss, and the
    clips themselves: the original beside what one step makes of it, in motion, and its
    first frame as a single image.

    Args:
        directory: path of TensorBoard's log.
        clips: uint8 array of shape `(N, k + 1, H, W, 3)`, N from 1.
        batch_size: int. Clips to decode together. Defaults to `4`.
        step: int. The step that training begins with. Defaults to `0`.

    Raises:
        ImportError: without tensorboardX.
        ValueError: if the clips are not as above.
    """

    def __init__(self, directory, clips, batch_size=4, step=0):
        super().__init__()
        if clips.ndim != 5 or clips.dtype != "uint8" or not len(clips):
            raise ValueError(
                "`clips` must be uint8 of shape (N, k + 1, H, W, 3). "
                f"Received: shape {clips.shape}, dtype {clips.dtype}"
            )
        self.clips = clips
        self.batch_size = batch_size
        self._log = TensorBoardLog(directory, purge_step=step)
        self._step = step

    def on_train_batch_end(self, batch, logs=None):
        self._step_in_epoch = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        self._step += self._step_in_epoch
        with averaged_weights(self.model):
            scores, pairs = self._reconstruct()
        logs.update(scores)
        self._log.scalars(logs, self._step)
        for i, (clip, still) in enumerate(pairs):
            self._log.clip(f"clip_{i}", clip, FPS, self._step)
            self._log.clip(f"image_{i}", still, FPS, self._step)

    def on_train_end(self, logs=None):
        self._log.close()

    def _reconstruct(self):
        times = (np.arange(NUM_BINS) + 0.5) / NUM_BINS
        losses, quality, pairs = [], [], []
        for start in range(0, len(self.clips), self.batch_size):
            clips = self.clips[start : start + self.batch_size]
            decoded = self.model.reconstruct(clips)
            # An image is a chunk of its own, with a content latent alone.
            stills = self.model.reconstruct(clips[:, :1])
            quality.extend(np.minimum(psnr(clips, decoded), PSNR_LIMIT).mean(axis=1))
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
        return scores, pairs
