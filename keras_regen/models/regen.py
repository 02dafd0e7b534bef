"""REGEN: encoder and generative decoder, trained together."""

import keras
from keras import ops

from keras_regen import diffusion
from keras_regen.models.architectures import architecture
from keras_regen.models.dit_decoder import DiTDecoder
from keras_regen.models.inference import Inference, to_unit_range
from keras_regen.models.layout_map import layout_map
from keras_regen.models.presets import load_preset, save_preset
from keras_regen.models.validation import check_video
from keras_regen.models.video_encoder import SPATIAL_COMPRESSION, VideoEncoder

# Seeds of evaluation's noise, fixed so that `evaluate` repeats.
EVALUATION_SEED = 2503


@keras.saving.register_keras_serializable(package="keras_regen")
class Regen(Inference, keras.Model):
    """A video embedder whose decoder re-generates the video.

    `call(video)` returns the latents. `fit` trains encoder and decoder end to end with
    the diffusion loss alone: `fit(clips)` to re-generate the chunk, or
    `fit(clips, targets)` with frames around the chunk as further targets, which trains
    the decoder to extrapolate. `compile` needs an optimiser and no loss.

    Args:
        encoder: a `VideoEncoder`.
        decoder: a `DiTDecoder` of the same compression.
        diffusion_path: a `diffusion.Path`, or `"linear"` or `"cosine"`. Defaults to
            `"cosine"`.
        prediction: a `diffusion.Prediction`, or `"sample"`, `"v"`, `"velocity"` or
            `"epsilon"`. Defaults to `"sample"`.
        weighting: a `diffusion.Weighting`, or `"velocity"`, `"sample"` or
            `"prediction"`. Defaults to `"sample"`.
        time_distribution: a `diffusion.TimeDistribution`, or `"logit_normal"` or
            `"uniform"`. Defaults to `"uniform"`, half of it at t = 1.
        seed: int. Seed of the training's times and noise. Defaults to `0`.

    Call arguments:
        video: tensor of shape `(B, k + 1, H, W, 3)` or `(B, 1, H, W, 3)`, float in
            [-1, 1] or uint8; H and W multiples of 8.

    Returns:
        Latents, float32 of shape `(B, 2, H / 8, W / 8, C)`; `(B, 1, ...)` for images.

    Example:

    >>> regen = Regen.from_architecture("tiny", temporal_compression=4)
    >>> latents = regen.encode(np.zeros((1, 5, 16, 24, 3)))
    >>> latents.shape
    (1, 2, 2, 3, 8)
    >>> regen.decode(latents, num_steps=1, seed=0).shape
    (1, 5, 16, 24, 3)

    Reference:
        Zhang et al. 2025, *REGEN: Learning Compact Video Embedding with (Re-)Generative
        Decoder*, section 3.
    """

    def __init__(
        self,
        encoder,
        decoder,
        diffusion_path="cosine",
        prediction="sample",
        weighting="sample",
        time_distribution="uniform",
        seed=0,
        **kwargs,
    ):
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
        self.diffusion_path = diffusion.get(diffusion.Path, diffusion_path)
        self.prediction = diffusion.get(diffusion.Prediction, prediction)
        self.weighting = diffusion.get(diffusion.Weighting, weighting)
        self.time_distribution = diffusion.get(
            diffusion.TimeDistribution, time_distribution
        )
        self.seed = seed
        # The preset that it was loaded from, which latents are labelled with.
        self.preset = None
        self.seed_generator = keras.random.SeedGenerator(seed)
        # Both are functional models, whose weights exist already.
        self.built = True

    @property
    def temporal_compression(self):
        """k: frames after the first in one chunk."""
        return self.encoder.temporal_compression

    @classmethod
    def from_architecture(
        cls,
        name,
        temporal_compression=8,
        dtype=None,
        remat=False,
        regularization=None,
        **kwargs,
    ):
        """Builds an untrained model by the name of its architecture.

        Args:
            name: `"tiny"`, `"small"`, `"base"` or `"paper"`.
            temporal_compression: int. k, a power of two from 2 to 64. Defaults to `8`.
            dtype: dtype policy of encoder and decoder, such as `"mixed_bfloat16"`.
                Defaults to the global policy.
            remat: bool. See `DiTDecoder` and `VideoEncoder`. Defaults to `False`.
            regularization: what keeps the latents in bounds, see `VideoEncoder`.
                Defaults to `None`.
            **kwargs: arguments of `Regen`.

        Raises:
            ValueError: if the name is unknown.
        """
        config = architecture(name)
        common = {
            "temporal_compression": temporal_compression,
            "dtype": dtype,
            "remat": remat,
        }
        encoder = VideoEncoder(
            **config["encoder"], **common, regularization=regularization, name="encoder"
        )
        decoder = DiTDecoder(**config["decoder"], **common, name="decoder")
        return cls(encoder, decoder, **kwargs)

    @classmethod
    def from_preset(cls, preset, temporal_compression=None, dtype=None, remat=False):
        """Loads a trained model.

        Args:
            preset: the name of a bundled preset, a directory, or `hf://user/name`.
            temporal_compression: int or None. If given, the preset must be of this k.
            dtype: dtype policy to run under. Defaults to the global policy.
            remat: bool. See `DiTDecoder` and `VideoEncoder`. Defaults to `False`.

        Raises:
            ValueError: if there is no such preset or it is of another k.
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

    @staticmethod
    def get_layout_map(
        device_mesh, model_parallel_dim_name="model", data_parallel_dim_name="batch"
    ):
        """How the weights are laid out for `keras.distribution.ModelParallel` (JAX).

        Args:
            device_mesh: a `keras.distribution.DeviceMesh` with both axes.
            model_parallel_dim_name: str. The axis of the mesh that shares out the
                products of each sample. Defaults to `"model"`.
            data_parallel_dim_name: str. The axis that shares out the batch, and the
                other side of each kernel with it. Defaults to `"batch"`.

        Returns:
            A `keras.distribution.LayoutMap`. Weights that it does not name, all of them
            small, are on every device.

        Raises:
            ValueError: if `device_mesh` is none, or has no such axes.
        """
        return layout_map(device_mesh, model_parallel_dim_name, data_parallel_dim_name)

    def call(self, video, training=None):
        check_video(video, self.temporal_compression)
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

    # === Training ===

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """The diffusion loss of the re-generated video.

        Args:
            x: the chunk, as for `call`.
            y: None, or the target frames, `(B, k + 1 + 2m, H, W, 3)`: the chunk with
                `m` more frames before and after it. Defaults to the chunk itself.
            y_pred: the latents, from `call`.
            sample_weight: None, or float tensor of shape `(B,)`.
            training: bool. Evaluation uses fixed noise and evenly spread times.

        Returns:
            Scalar, float32: the mean over the batch, and whatever layers add. Under
            `tf.distribute` divided by the replicas, whose gradients are summed.
        """
        target = to_unit_range(x if y is None else y)
        shape = ops.shape(target)
        batch, frames = shape[:2]
        times = self._target_times(x, target)
        if training:
            u = keras.random.uniform((batch,), seed=self.seed_generator)
            noise = keras.random.normal(shape, seed=self.seed_generator)
        else:
            u = (ops.arange(batch, dtype="float32") + 0.5) / ops.cast(batch, "float32")
            noise = keras.random.normal(shape, seed=EVALUATION_SEED)
        timestep = self.time_distribution(u)
        t = timestep[:, None, None, None, None]
        output = self.decoder(
            {
                "video": self.diffusion_path.interpolate(target, noise, t),
                "timestep": timestep,
                "latents": y_pred,
                "times": ops.broadcast_to(times[None], (batch, frames)),
            },
            training=training,
        )
        expected = self.prediction.target(self.diffusion_path, target, noise, t)
        losses = self._weighted_errors(output, expected, timestep)
        if sample_weight is not None:
            losses = losses * ops.cast(sample_weight, "float32")
        terms = [ops.mean(losses), *(ops.cast(x, "float32") for x in self.losses)]
        # Keras's own trainers scale each term for the replicas of `tf.distribute`.
        return sum(self._aggregate_additional_loss(term) for term in terms)

    def fit(self, *args, **kwargs):
        history = super().fit(*args, **kwargs)
        # Keras ends a fit by assigning the averages to the weights. On JAX both are
        # then one buffer, which the next fit may not donate twice.
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if optimizer.use_ema:
            for average in optimizer._model_variables_moving_average:
                average.assign(ops.copy(average))
        return history

    def _target_times(self, chunk, target):
        """Times of the target frames: the chunk in the middle, from time 0."""
        extra = ops.shape(target)[1] - ops.shape(chunk)[1]
        # Known before it runs, except in graphs traced for any number of frames.
        if isinstance(extra, int) and (extra < 0 or extra % 2):
            raise ValueError(
                "The targets must be the chunk with equally many frames before and "
                f"after it. Received: x.shape={chunk.shape}, y.shape={target.shape}"
            )
        frames = ops.arange(ops.shape(target)[1], dtype="float32")
        return frames - ops.cast(extra // 2, "float32")

    # === Config ===

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        config = super().get_config()
        for name in (
            "encoder",
            "decoder",
            "diffusion_path",
            "prediction",
            "weighting",
            "time_distribution",
        ):
            config[name] = serialize(getattr(self, name))
        config["seed"] = self.seed
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
