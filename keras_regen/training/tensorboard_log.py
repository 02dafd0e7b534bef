"""Writing what TensorBoard shows, without TensorFlow."""

import io
import pathlib
import tempfile

import imageio.v3 as iio

from keras_regen.video import VideoWriter


class TensorBoardLog:
    """A run's scalars, images and clips.

    Args:
        directory: path of the run's log. A run that goes on from a checkpoint goes on
            in the same.
        purge_step: int or None. What was logged from this step on is forgotten: the
            run is doing it again. Defaults to `None`.

    Raises:
        ImportError: without tensorboardX.
    """

    def __init__(self, directory, purge_step=None):
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
        """Logs a uint8 clip, `(T, H, W, 3)`, in motion; one frame as a still."""
        if len(video) == 1:
            buffer = io.BytesIO()
            iio.imwrite(buffer, video[0], extension=".png")
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
        """Writes what is left."""
        self._writer.close()
