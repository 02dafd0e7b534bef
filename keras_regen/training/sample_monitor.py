"""Watching a model's samples while it trains."""

import contextlib
import io
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import PIL.Image
from keras import ops

from keras_regen.metrics import psnr
from keras_regen.models import assign_averages
from keras_regen.types import StrPath
from keras_regen.video import VideoWriter

# Diffusion times at which the loss is measured.
NUM_TIMES = 8
# Frames per second of the clips shown.
FPS = 8.0
# Upper limit in dB, since the PSNR of two equal frames is infinite.
MAX_PSNR = 60.0


class SampleMonitor(keras.callbacks.Callback):
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
        super().__init__()
        if clips.ndim != 5 or clips.dtype != "uint8" or not len(clips):
            raise ValueError(
                "`clips` must be uint8 of shape (N, k + 1, H, W, 3). "
                f"Received: shape {clips.shape}, dtype {clips.dtype}"
            )
        self.clips = clips
        self.batch_size = batch_size
        self._log = _TensorBoardLog(directory, purge_step=step)
        self._step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step_in_epoch = batch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._step += self._step_in_epoch
        with averaged_weights(self.model):
            scores, pairs = self._reconstruct()
        logs.update(scores)
        self._log.scalars(logs, self._step)
        for i, (clip, still) in enumerate(pairs):
            self._log.clip(f"clip_{i}", clip, FPS, self._step)
            self._log.clip(f"image_{i}", still, FPS, self._step)

    def on_train_end(self, logs: Any = None) -> None:
        self._log.close()

    def _reconstruct(self):
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
        return scores, pairs


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Runs a `with` block with the averaged weights, then restores the weights.

    Args:
        model: a compiled `keras.Model` whose optimiser is built. Without `use_ema` its
            weights stay as they are.
    """
    variables = model.trainable_variables
    weights = [ops.convert_to_numpy(ops.copy(variable)) for variable in variables]
    assign_averages(model)
    try:
        yield
    finally:
        for variable, weight in zip(variables, weights, strict=True):
            variable.assign(weight)


class _TensorBoardLog:
    """Writes scalars, images and clips for TensorBoard, without TensorFlow.

    Args:
        directory: path of the log. A resumed run continues its earlier log.
        purge_step: int. TensorBoard drops what was logged from this step on, since a
            resumed run logs it again.

    Raises:
        ImportError: without tensorboardX.
    """

    def __init__(self, directory, purge_step):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "Logs for TensorBoard need tensorboardX: pip install keras-regen[train]"
            ) from error
        self._writer = SummaryWriter(str(directory), purge_step=purge_step)

    def scalars(self, values, step):
        """Logs a dict of numbers."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def clip(self, name, video, fps, step):
        """Logs a uint8 clip, `(T, H, W, 3)`, as a GIF, or as an image if T is 1."""
        if len(video) == 1:
            buffer = io.BytesIO()
            PIL.Image.fromarray(video[0]).save(buffer, "png")
            self._image(name, buffer.getvalue(), video.shape, step)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "clip.gif"
            with VideoWriter(path, fps) as writer:
                for frame in video:
                    writer.write(frame)
            self._image(name, path.read_bytes(), video.shape, step)

    def _image(self, name, encoded, shape, step):
        from tensorboardX.proto.summary_pb2 import Summary

        _, height, width, channels = shape
        image = Summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=encoded,
        )
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._writer.file_writer.add_summary(summary, step)

    def close(self):
        """Writes the rest of the log and closes it."""
        self._writer.close()
