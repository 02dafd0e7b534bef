"""What every pair of an encoder and a decoder is."""

import keras
from keras import ops

from keras_regen.models.inference import Inference
from keras_regen.models.input_checks import check_chunk
from keras_regen.models.presets import load_preset, save_preset
from keras_regen.pixels import SPATIAL_COMPRESSION, to_unit_range


class VideoAutoencoder(Inference, keras.Model):
    """An encoder of chunks to two latent frames, and a decoder of the same.

    `call(video)` returns the latents; subclasses say what the decoder makes of them,
    in `generate`, and what training minimises, in `compute_loss`.

    Args:
        encoder: a `VideoEncoder`.
        decoder: a model of the same `temporal_compression` and `latent_channels`.
    """

    # Whether the decoder generates: from noise, in any number of steps, at any times.
    is_generative = False

    def __init__(self, encoder, decoder, **kwargs):
        # Keras scales the loss by the model's own policy: half precision needs it here.
        kwargs.setdefault("dtype", encoder.dtype_policy)
        super().__init__(**kwargs)
        self.autocast = False
        for name in ("temporal_compression", "latent_channels"):
            ours, theirs = getattr(encoder, name), getattr(decoder, name)
            if ours != theirs:
                raise ValueError(
                    f"Encoder and decoder must have the same `{name}`. "
                    f"Received: encoder.{name}={ours}, decoder.{name}={theirs}"
                )
        self.encoder = encoder
        self.decoder = decoder
        # The preset that it was loaded from, which latents are labelled with.
        self.preset = None
        # Both are functional models, whose weights exist already.
        self.built = True

    @property
    def temporal_compression(self):
        """k: frames after the first in one chunk."""
        return self.encoder.temporal_compression

    @classmethod
    def from_preset(cls, preset, temporal_compression=None, dtype=None, remat=False):
        """Loads a trained model.

        Args:
            preset: the name of a bundled preset, a directory, or `hf://user/name`.
            temporal_compression: int or None. If given, the preset must be of this k.
            dtype: dtype policy to run under. Defaults to the global policy.
            remat: bool. See `VideoEncoder`. Defaults to `False`.

        Raises:
            ValueError: if there is no such preset, or it is of another k or class.
        """
        return load_preset(cls, preset, temporal_compression, dtype, remat)

    def save_to_preset(self, directory, metadata=None, dtype="float32"):
        """Writes `config.json`, `model.weights.h5` and `metadata.json`.

        Args:
            directory: path. Created if needed; replaced only when all is written.
            metadata: dict or None. What is known of the model: data, steps, scores.
            dtype: `"float32"` or `"float16"`. How the weights are stored. Defaults to
                `"float32"`.
        """
        save_preset(self, directory, metadata, dtype)

    def call(self, video, training=None):
        check_chunk(video, self.temporal_compression)
        return self.encoder(to_unit_range(video), training=training)

    def compute_output_spec(self, video, training=None):
        batch, frames, height, width, _ = video.shape
        shape = (
            batch,
            None if frames is None else min(frames, 2),
            None if height is None else height // SPATIAL_COMPRESSION,
            None if width is None else width // SPATIAL_COMPRESSION,
            self.encoder.latent_channels,
        )
        return keras.KerasTensor(shape, dtype="float32")

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        # Keras hands metrics what `call` returns, and on JAX no weights to decode with.
        if self._compile_metrics is not None:
            raise ValueError(
                "The model's outputs are latents: score videos in a callback, as "
                "`training.SampleMonitor`, or with `metric.update_state(video, "
                "model.reconstruct(video))`. Received: metrics in `compile`"
            )
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def fit(self, *args, **kwargs):
        history = super().fit(*args, **kwargs)
        # Keras ends a fit by assigning the averages to the weights. On JAX both are
        # then one buffer, which the next fit may not donate twice.
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if optimizer.use_ema:
            for average in optimizer._model_variables_moving_average:
                average.assign(ops.copy(average))
        return history

    def _mean_loss(self, losses, sample_weight):
        """The losses of the samples, and whatever layers add, as Keras wants them."""
        if sample_weight is not None:
            losses = losses * ops.cast(sample_weight, "float32")
        terms = [ops.mean(losses), *(ops.cast(x, "float32") for x in self.losses)]
        # Keras's own trainers scale each term for the replicas of `tf.distribute`.
        return sum(self._aggregate_additional_loss(term) for term in terms)

    def get_config(self):
        config = super().get_config()
        for name in ("encoder", "decoder"):
            part = getattr(self, name)
            config[name] = keras.saving.serialize_keras_object(part)
        return config

    @classmethod
    def from_config(cls, config):
        config = {
            key: keras.saving.deserialize_keras_object(value)
            if isinstance(value, dict)
            else value
            for key, value in config.items()
        }
        return cls(**config)
