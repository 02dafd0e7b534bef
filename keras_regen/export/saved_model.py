"""SavedModels for TF Serving."""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_regen.atomic_output import as_os_error
from keras_regen.diffusion import DEFAULT_SCHEDULE, NOISE_TIME_RESOLUTION
from keras_regen.export.model_functions import ModelFunctions
from keras_regen.export.request_checks import RequestChecks, checked
from keras_regen.export.video_formats import VIDEO_FORMATS
from keras_regen.export.warmup import WarmupWriter, check_sizes, chunk_inputs
from keras_regen.models import to_int8, tolerates_rounding

# The loader picks the platform that it runs on.
PLATFORMS = ("cpu", "cuda", "tpu")
PER_SAMPLE = {
    "num_steps": tf.int32,
    "num_frames": tf.int32,
    "seed": tf.int64,
    "guidance": tf.float32,
}


class StoredWeights(tf.Module):
    """The variables of a model in float32, bfloat16 or int8.

    int8 has one scale for each output channel, which maps the largest magnitude to 127.
    Small arrays and the SIREN are stored as they are. The model still computes in its
    own precision: only the file and the memory traffic shrink.

    Args:
        variables: sequence of Keras variables.
        dtype: `"float32"`, `"bfloat16"` or `"int8"`.
    """

    def __init__(self, variables, dtype):
        super().__init__()
        self.dtypes = [v.dtype for v in variables]
        self.values, self.scales = [], []
        for variable in variables:
            value = keras.ops.convert_to_numpy(variable.value)
            scale = None
            if tolerates_rounding(variable.path, value):
                if dtype == "int8":
                    value, scale = to_int8(value.astype("float32"))
                elif dtype == "bfloat16":
                    value = value.astype(tf.bfloat16.as_numpy_dtype)
            name = variable.path.replace("/", ".")
            self.values.append(tf.Variable(value, trainable=False, name=name))
            if scale is not None:
                scale = tf.Variable(scale, trainable=False, name=f"{name}.scale")
            self.scales.append(scale)

    def tensors(self):
        """Returns the weights as tensors of the dtypes of the variables."""
        return [
            tf.cast(value, dtype)
            if scale is None
            else tf.cast(tf.cast(value, tf.float32) * scale, dtype)
            for value, scale, dtype in zip(
                self.values, self.scales, self.dtypes, strict=True
            )
        ]


class ServedRegen(tf.Module):
    """A `Regen` as TensorFlow functions that check their inputs.

    Args:
        regen: a `Regen`, under the TensorFlow or the JAX backend.
        weights: `"float32"`, `"bfloat16"` or `"int8"`. See `StoredWeights`.
        max_steps: int. See `RequestChecks`.
        max_pixels: int. See `RequestChecks`.
        schedule: as for `Regen.decode`.
    """

    def __init__(
        self, regen, weights, max_steps, max_pixels, schedule=DEFAULT_SCHEDULE
    ):
        super().__init__(name="regen")
        functions = ModelFunctions(regen, schedule)
        channels = regen.encoder.latent_channels
        self.temporal_compression = regen.temporal_compression
        self.checks = RequestChecks(
            regen.temporal_compression, channels, max_steps, max_pixels
        )
        self.encoder_weights = StoredWeights(functions.encoder_variables, weights)
        self.decoder_weights = StoredWeights(functions.decoder_variables, weights)
        self._encode = _as_tensorflow(functions.encode, "b, t, 8*h, 8*w, 3")
        self._decode = _as_tensorflow(
            functions.decode_on_canvas,
            f"b, t, h, w, {channels}",
            "b, f",
            "b, f, 4",
            "b",
        )
        # `keras.layers.TFSMLayer` and `tf.saved_model.load` find attributes.
        video = VIDEO_FORMATS[""].specs
        self.encode = served_function(self._checked_encode, *video)
        self.serve = self.encode
        self.decode = served_function(
            self._checked_decode,
            self.latents_spec,
            *per_sample_specs("seed", "num_steps", "num_frames"),
        )
        self.reconstruct = served_function(
            self._checked_reconstruct, *video, *per_sample_specs("seed", "num_steps")
        )

    @property
    def latents_spec(self):
        shape = [None] * 4 + [self.checks.latent_channels]
        return tf.TensorSpec(shape, tf.float32, name="latents")

    def signatures(self):
        """Returns a dict from the names that requests use to the functions."""
        functions: dict[str, Callable] = {}
        for suffix, video in VIDEO_FORMATS.items():
            functions |= {
                f"encode{suffix}": served_function(
                    functools.partial(self._encode_signature, video), *video.specs
                ),
                f"decode{suffix}": served_function(
                    functools.partial(self._decode_signature, video),
                    self.latents_spec,
                    *per_sample_specs("seed", "num_steps", "num_frames"),
                ),
                f"reconstruct{suffix}": served_function(
                    functools.partial(self._reconstruct_signature, video),
                    *video.specs,
                    *per_sample_specs("seed", "num_steps"),
                ),
            }
        return functions | {"serving_default": functions["encode"]}

    def _encode_signature(self, video_format, *inputs):
        return {"latents": self.encode(video_format.read(self.checks, *inputs))}

    def _decode_signature(self, video_format, *inputs):
        return video_format.write(self.decode(*inputs))

    def _reconstruct_signature(self, video_format, *inputs):
        *inputs, seed, num_steps = inputs
        video = video_format.read(self.checks, *inputs)
        return video_format.write(self.reconstruct(video, seed, num_steps))

    def _checked_encode(self, video):
        video = self.checks.video(video)
        latents = self._encode(self.encoder_weights.tensors(), video)
        return checked(
            latents,
            (
                tf.reduce_all(tf.math.is_finite(latents)),
                "Latents must be finite; half precision can overflow. "
                "Received: NaN or infinite values",
            ),
        )

    def _checked_decode(self, latents, seed, num_steps, num_frames):
        latents, num_frames = self.checks.latents(latents, num_frames)
        batch, latent_frames, *_ = tf.unstack(tf.shape(latents))
        num_steps = self.checks.num_steps(num_steps, batch)
        seed = self.checks.seed(seed, batch)
        # Evenly spaced from the first frame to the last, as in `Regen.decode`.
        last = (latent_frames - 1) * self.temporal_compression
        spacing = tf.cast(last, tf.float64) / tf.cast(
            tf.maximum(num_frames - 1, 1), tf.float64
        )
        times = tf.range(tf.cast(num_frames, tf.float64), dtype=tf.float64) * spacing
        video, finite = self._decode(
            self.decoder_weights.tensors(),
            latents,
            tf.broadcast_to(tf.cast(times, tf.float32), [batch, num_frames]),
            canvas_words(seed, times, batch),
            num_steps,
        )
        return checked(
            video,
            (
                tf.reduce_all(finite),
                "Decoded frames must be finite; half precision can overflow. "
                "Received: NaN or infinite values",
            ),
        )

    def _checked_reconstruct(self, video, seed, num_steps):
        return self.decode(self.encode(video), seed, num_steps, tf.shape(video)[1])


def export_saved_model(
    regen,
    directory,
    weights="float32",
    max_steps=32,
    max_pixels=2**22,
    warmup=((128, 128),),
    schedule=DEFAULT_SCHEDULE,
):
    """Writes a SavedModel into an empty directory; see `Regen.export`."""
    num_frames, writer = regen.temporal_compression + 1, None
    if warmup:
        check_sizes(warmup, max_pixels, num_frames)
        writer = WarmupWriter()
    served = ServedRegen(regen, weights, max_steps, max_pixels, schedule)
    signatures = served.signatures()
    with as_os_error(tf.errors.OpError):
        tf.saved_model.save(served, str(directory), signatures=signatures)
    if writer:
        channels = regen.encoder.latent_channels
        inputs = [chunk_inputs(h, w, num_frames, channels) for h, w in warmup]
        writer.write(directory, signatures, inputs)


def _as_tensorflow(function, *shapes):
    """Converts a function of the Keras backend for use in TensorFlow graphs.

    Args:
        function: callable of a list of weights, and of tensors.
        *shapes: str. The shape of each tensor, in the notation of `jax.export`.
    """
    if keras.backend.backend() == "tensorflow":
        return function
    from jax.experimental import jax2tf

    return jax2tf.convert(
        function,
        polymorphic_shapes=[None, *shapes],
        with_gradient=False,
        native_serialization_platforms=PLATFORMS,
    )


def canvas_words(seed, times, batch):
    """Returns seeds and times as `diffusion.CanvasArea` has them.

    Args:
        seed: int64 tensor of shape `(1,)` or `(B,)`.
        times: float64 tensor of shape `(F,)`, in frames.
        batch: int32 scalar tensor, B.

    Returns:
        int32 tensor of shape `(B, F, 4)`.
    """
    ticks = tf.cast(tf.round(times * NOISE_TIME_RESOLUTION), tf.int64)
    shape = [batch, tf.size(times), 2]
    return tf.concat(
        [
            tf.broadcast_to(tf.bitcast(words, tf.int32), shape)
            for words in (seed[:, None], ticks[None])
        ],
        axis=-1,
    )


def served_function(function, *specs):
    """Returns a `tf.function` of inputs that are as the `tf.TensorSpec`s say."""
    return tf.function(function, input_signature=specs, autograph=False)


def per_sample_specs(*names):
    """Returns the specs of inputs that are one number, or one for each sample."""
    return [tf.TensorSpec(None, PER_SAMPLE[name], name=name) for name in names]
