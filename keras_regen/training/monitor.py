"""Watching a training: what its callbacks share."""

import abc
import contextlib
import io
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import PIL.Image
from keras import ops

from keras_regen.models import assign_averages
from keras_regen.types import StrPath
from keras_regen.video import VideoWriter


class Monitor(keras.callbacks.Callback, abc.ABC):
    """Looks at the model after every epoch, with the averaged weights.

    What it measures is added to the logs, and so to the history. TensorBoard shows that
    and the clips.

    Args:
        directory: path of TensorBoard's log.
        fps: float. Frames per second of the clips shown.
        step: int. The step at which training starts. Defaults to `0`.

    Raises:
        ImportError: without tensorboardX.
    """

    def __init__(self, directory: StrPath, fps: float, step: int = 0) -> None:
        super().__init__()
        self._log = _TensorBoardLog(directory, purge_step=step + 1)
        self._fps = fps
        self._step = step

    @abc.abstractmethod
    def watch(self) -> tuple[dict[str, float], Mapping[str, np.ndarray]]:
        """Returns what is measured, and uint8 clips `(T, H, W, 3)`, by their names."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step_in_epoch = batch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._step += self._step_in_epoch
        with averaged_weights(self.model):
            scores, clips = self.watch()
        logs.update(scores)
        self._log.scalars(logs, self._step)
        for name, clip in clips.items():
            self._log.clip(name, clip, self._fps, self._step)

    def on_train_end(self, logs: Any = None) -> None:
        self._log.close()


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
