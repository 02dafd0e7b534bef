"""Requests that TF Serving runs when it loads a model."""

import tensorflow as tf

from keras_regen.pixels import SPATIAL_COMPRESSION

PATH = "assets.extra/tf_serving_warmup_requests"


class WarmupRequests:
    """Warm-up requests: one chunk of zeros for each signature and size.

    The first request of a size is slow, since XLA may compile for it. The server runs
    these before it accepts requests of users.

    Args:
        sizes: sequence of int pairs `(height, width)`, in pixels, multiples of 8.
        max_pixels: int. The maximum number of pixels that the model takes.
        num_frames: int. Frames of a chunk, k + 1.

    Raises:
        ImportError: if tensorflow-serving-api is not installed.
        ValueError: if the model would refuse a size.
    """

    def __init__(self, sizes, max_pixels, num_frames):
        for height, width in sizes:
            pixels = num_frames * height * width
            aligned = height % SPATIAL_COMPRESSION == width % SPATIAL_COMPRESSION == 0
            if not (aligned and 0 < pixels <= max_pixels):
                raise ValueError(
                    f"Sizes to warm up with must be multiples of {SPATIAL_COMPRESSION} "
                    f"with at most {max_pixels} pixels in {num_frames} frames. "
                    f"Received: {height}x{width}"
                )
        try:
            from tensorflow_serving.apis import prediction_log_pb2
        except ImportError as error:
            raise ImportError(
                "Warm-up requests need more packages: pip install "
                "tensorflow-serving-api; or export with warmup=()"
            ) from error
        self.sizes = sizes
        self.num_frames = num_frames
        self._log = prediction_log_pb2.PredictionLog

    def write(self, directory, signatures, latent_channels):
        """Writes the file of requests into the directory of a SavedModel."""
        path = directory / PATH
        path.parent.mkdir()
        with tf.io.TFRecordWriter(str(path)) as writer:
            for height, width in self.sizes:
                values = self._values(height, width, latent_channels)
                for name, function in signatures.items():
                    log = self._log()
                    request = log.predict_log.request
                    request.model_spec.signature_name = name
                    for spec in function.input_signature:
                        value, shape = values[spec.name]
                        proto = tf.make_tensor_proto(value, spec.dtype, shape)
                        request.inputs[spec.name].CopyFrom(proto)
                    writer.write(log.SerializeToString())

    def _values(self, height, width, latent_channels):
        """Returns the value and shape of every input, for a batch of one."""
        frames = self.num_frames
        rows, columns = height // SPATIAL_COMPRESSION, width // SPATIAL_COMPRESSION
        # A single value fills its shape, and is stored only once.
        return {
            "video": (0, (1, frames, height, width, 3)),
            "video_bytes": (bytes(frames * height * width * 3), (1,)),
            "shape": ((frames, height, width, 3), (1, 4)),
            "latents": (0, (1, 2, rows, columns, latent_channels)),
            "seed": (0, (1,)),
            "num_steps": (1, (1,)),
            "num_frames": (frames, (1,)),
        }
