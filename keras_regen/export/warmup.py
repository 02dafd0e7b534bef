"""Requests that TF Serving runs when it loads a model."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_regen.atomic_output import as_os_error
from keras_regen.pixels import SPATIAL_COMPRESSION

PATH = "assets.extra/tf_serving_warmup_requests"


class WarmupWriter:
    """Writes the requests, one of each signature for each dict of inputs.

    The first request of a size is slow, since XLA may compile for it. The server runs
    these before it accepts requests of users.

    Raises:
        ImportError: if tensorflow-serving-api is not installed.
    """

    def __init__(self) -> None:
        try:
            from tensorflow_serving.apis import prediction_log_pb2
        except ImportError as error:
            raise ImportError(
                "Warm-up requests need tensorflow-serving-api: pip install "
                '"keras-regen[serving]"; or export without them: warmup=() for a '
                "codec, warmup=False for a generator, --warmup none"
            ) from error
        self._log = prediction_log_pb2.PredictionLog

    def write(
        self,
        directory: pathlib.Path,
        signatures: Mapping[str, Any],
        inputs: Iterable[Mapping[str, tuple[Any, Sequence[int]]]],
    ) -> None:
        """Writes the file of requests into the directory of a SavedModel.

        Args:
            directory: path.
            signatures: dict from the names to the `tf.function`s.
            inputs: iterable of dicts from the name of each input to a value, which
                fills its shape, and the shape.
        """
        path = directory / PATH
        path.parent.mkdir()
        with as_os_error(tf.errors.OpError), tf.io.TFRecordWriter(str(path)) as writer:
            for values in inputs:
                for name, function in signatures.items():
                    log = self._log()
                    request = log.predict_log.request
                    request.model_spec.signature_name = name
                    for spec in function.input_signature:
                        value, shape = values[spec.name]
                        # A single value is stored only once.
                        proto = tf.make_tensor_proto(value, spec.dtype, shape)
                        request.inputs[spec.name].CopyFrom(proto)
                    writer.write(log.SerializeToString())


def check_sizes(
    sizes: Iterable[tuple[int, int]], max_pixels: int, num_frames: int
) -> None:
    """Checks that a codec would not refuse a chunk of these sizes.

    Args:
        sizes: iterable of int pairs `(height, width)`, in pixels.
        max_pixels: int. The maximum number of pixels that the model takes.
        num_frames: int. Frames of a chunk, k + 1.

    Raises:
        ValueError: if it would refuse one.
    """
    for height, width in sizes:
        pixels = num_frames * height * width
        aligned = height % SPATIAL_COMPRESSION == width % SPATIAL_COMPRESSION == 0
        if not (aligned and 0 < pixels <= max_pixels):
            raise ValueError(
                f"Sizes to warm up with must be multiples of {SPATIAL_COMPRESSION} "
                f"with at most {max_pixels} pixels in {num_frames} frames. "
                f"Received: {height}x{width}"
            )


def chunk_inputs(
    height: int, width: int, num_frames: int, latent_channels: int
) -> dict[str, tuple[Any, Sequence[int]]]:
    """Returns a chunk of zeros, in the inputs of every signature of a codec."""
    rows, columns = height // SPATIAL_COMPRESSION, width // SPATIAL_COMPRESSION
    return {
        "video": (0, (1, num_frames, height, width, 3)),
        "video_bytes": (bytes(num_frames * height * width * 3), (1,)),
        "shape": ((num_frames, height, width, 3), (1, 4)),
        "latents": (0, (1, 2, rows, columns, latent_channels)),
        "seed": (0, (1,)),
        "num_steps": (1, (1,)),
        "num_frames": (num_frames, (1,)),
    }
