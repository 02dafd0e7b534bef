"""REGEN: encoder and generative decoder, trained together."""

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_regen import diffusion
from keras_regen.checks import (
    MAX_SEED,
    MAX_STEPS,
    check_whole,
    suggest_arguments,
)
from keras_regen.models.architectures import architecture
from keras_regen.models.compiled_model import CompiledModel
from keras_regen.models.conv_decoder import ConvDecoder
from keras_regen.models.dit_decoder import Conditioning, DiTDecoder
from keras_regen.models.inference import predictor
from keras_regen.models.input_checks import (
    check_frames,
    check_latents,
    chunk_array,
)
from keras_regen.models.layout_map import layout_map
from keras_regen.models.video_autoencoder import (
    INVERSION_STEPS,
    VideoAutoencoder,
)
from keras_regen.models.video_encoder import Regularization, VideoEncoder
from keras_regen.pixels import SPATIAL_COMPRESSION, to_unit_range
from keras_regen.types import Architecture, ExportFormat, StrPath, Tensor

# Seed of the noise in `evaluate`, fixed so that it repeats.
EVALUATION_SEED = 2503


@keras.saving.register_keras_serializable(package="keras_regen")
class Regen(VideoAutoencoder):
    """A video embedder whose decoder re-generates the video.

    `call(video)` returns the latents. `fit` trains encoder and decoder end to end with
    the diffusion loss alone: `fit(clips)` to re-generate the chunk, or
    `fit(clips, targets)` with targets that hold frames around the chunk too, which
    trains the decoder to extrapolate. `compile` needs an optimiser and no loss.

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
            `"uniform"`. Defaults to `"uniform"`, with half of the times at t = 1.
        seed: int. Seed of the times and the noise in training, below `2**31`. Defaults
            to `0`.

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

    is_generative = True
    decoder: DiTDecoder

    def __init__(
        self,
        encoder: VideoEncoder,
        decoder: DiTDecoder,
        diffusion_path: str | diffusion.Path = "cosine",
        prediction: str | diffusion.Prediction = "sample",
        weighting: str | diffusion.Weighting = "sample",
        time_distribution: str | diffusion.TimeDistribution = "uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if isinstance(decoder, ConvDecoder):
            raise ValueError(
                "A `Regen` needs a decoder of noise, such as a `DiTDecoder`; "
                "`ConvAutoencoder` has a `ConvDecoder`. "
                f"Received: decoder={decoder!r:.200}"
            )
        super().__init__(encoder, decoder, **kwargs)
        self.diffusion_path = diffusion.get(diffusion.Path, diffusion_path)
        self.prediction = diffusion.get(diffusion.Prediction, prediction)
        self.weighting = diffusion.get(diffusion.Weighting, weighting)
        self.time_distribution = diffusion.get(
            diffusion.TimeDistribution, time_distribution
        )
        check_whole(0, MAX_SEED, seed=seed)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._predict = CompiledModel(decoder)

    @classmethod
    @suggest_arguments
    def from_architecture(
        cls,
        name: Architecture,
        temporal_compression: int = 8,
        dtype: str | keras.DTypePolicy | None = None,
        remat: bool = False,
        regularization: Regularization | None = None,
        conditioning: Conditioning = "content_aware",
        **kwargs: Any,
    ) -> Self:
        """Builds an untrained model by the name of its architecture.

        Args:
            name: `"tiny"`, `"small"`, `"base"` or `"paper"`.
            temporal_compression: int. k, a power of two from 2 to 64. Defaults to `8`.
            dtype: dtype policy of encoder and decoder, such as `"mixed_bfloat16"`.
                Defaults to the global policy.
            remat: bool. See `DiTDecoder` and `VideoEncoder`. Defaults to `False`.
            regularization: what keeps the latents in bounds, see `VideoEncoder`.
                Defaults to `None`.
            conditioning: see `DiTDecoder`. Defaults to `"content_aware"`.
            **kwargs: arguments of `Regen`.

        Raises:
            ValueError: if the name is unknown.
        """
        config = architecture(name)
        common: dict[str, Any] = {
            "temporal_compression": temporal_compression,
            "dtype": dtype,
            "remat": remat,
        }
        encoder = VideoEncoder(
            **config["encoder"], **common, regularization=regularization, name="encoder"
        )
        decoder = DiTDecoder(
            **config["decoder"], **common, conditioning=conditioning, name="decoder"
        )
        return cls(encoder, decoder, **kwargs)

    @staticmethod
    def get_layout_map(
        device_mesh: keras.distribution.DeviceMesh,
        model_parallel_dim_name: str = "model",
        data_parallel_dim_name: str = "batch",
    ) -> keras.distribution.LayoutMap:
        """Lays out the weights for `keras.distribution.ModelParallel` (JAX).

        Args:
            device_mesh: a `keras.distribution.DeviceMesh` with both axes.
            model_parallel_dim_name: str. The axis of the mesh that splits the matrix
                products of each sample. Defaults to `"model"`.
            data_parallel_dim_name: str. The axis that splits the batch, and the other
                side of each kernel too. Defaults to `"batch"`.

        Returns:
            A `keras.distribution.LayoutMap`. The weights that it does not name are
            small and are copied to every device.

        Raises:
            ValueError: if `device_mesh` is not a `DeviceMesh` or lacks these axes.
        """
        return layout_map(device_mesh, model_parallel_dim_name, data_parallel_dim_name)

    # === Training ===

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Computes the diffusion loss of the re-generated video.

        Args:
            x: the chunk, as for `call`.
            y: None, or the target frames, `(B, k + 1 + 2m, H, W, 3)`: the chunk with
                `m` more frames before and after it. Defaults to the chunk itself.
            y_pred: the latents, from `call`.
            sample_weight: None, or float tensor of shape `(B,)` or `(B, 1)`.
            training: bool. Evaluation uses fixed noise and evenly spaced times, 8 or
                more: a smaller batch is repeated.

        Returns:
            Scalar, float32: the mean over the batch plus the losses that layers add.
            Under `tf.distribute`, which sums the gradients of the replicas, it is
            divided by their number.
        """
        if not training:
            x, y, y_pred, sample_weight = self._repeat_samples(
                (x, y, y_pred, sample_weight), ops.shape(y_pred)[0]
            )
        target = ops.convert_to_tensor(to_unit_range(x if y is None else y), "float32")
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
        return self._mean_loss(losses, sample_weight)

    def _target_times(self, chunk, target):
        """Returns the times of the target frames: the chunk's first has time 0."""
        extra = ops.shape(target)[1] - ops.shape(chunk)[1]
        # A tensor in graphs that are traced for any number of frames.
        if isinstance(extra, int) and (extra < 0 or extra % 2):
            raise ValueError(
                "The targets must be the chunk with equally many frames before and "
                f"after it. Received: x.shape={chunk.shape}, y.shape={target.shape}"
            )
        frames = ops.arange(ops.shape(target)[1], dtype="float32")
        return frames - ops.cast(extra // 2, "float32")

    # === Inference ===

    def _decoding_inputs(self, num_latents, times, noise, num_steps):
        inputs = {"times": np.asarray(times, "float32")}
        # Sampling that starts from given noise ends elsewhere, also after one step.
        if num_steps > 1 or not isinstance(noise, diffusion.CanvasArea):
            inputs["num_steps"] = np.full((len(times),), num_steps, "int32")
        if isinstance(noise, diffusion.CanvasArea):
            return inputs | noise._asdict()
        return inputs | {"noise": noise}

    def _decode_tensors(self, latents, inputs):
        _, _, rows, columns, _ = ops.shape(latents)
        noise = inputs.get("noise")
        if noise is None:
            words = (inputs[name] for name in diffusion.CanvasArea._fields)
            noise = diffusion.draw_noise(
                diffusion.CanvasArea(*words),
                rows * SPATIAL_COMPRESSION,
                columns * SPATIAL_COMPRESSION,
            )
        return diffusion.sample(
            predictor(self.decoder, latents, inputs["times"]),
            noise,
            self.diffusion_path,
            self.prediction,
            inputs.get("num_steps", 1),
            inputs["schedule"],
            invertible="noise" in inputs,
        )

    @suggest_arguments
    def invert(
        self,
        video: ArrayLike,
        latents: ArrayLike | None = None,
        num_steps: int = INVERSION_STEPS,
        refinements: int = 2,
        times: ArrayLike | None = None,
        schedule: diffusion.ScheduleName = diffusion.DEFAULT_SCHEDULE,
    ) -> np.ndarray:
        """Finds the noise from which the decoder re-generates a video.

        `decode(latents, noise=noise, num_steps=num_steps)` returns the video, nearly
        exactly. The noise has as many values as the video: it holds what the latents
        do not, and serves to edit, not to compress. It takes `num_steps * (1 +
        refinements)` calls of the decoder, and decoding takes `num_steps` more.

        Args:
            video: as for `encode`; or, with `times`, of one frame for each.
            latents: array of shape `(B, 2, h, w, C)`, or `(B, 1, h, w, C)` for images,
                or None. Defaults to `encode(video)`.
            num_steps: int. Sampling steps, as many as `decode` will take. Defaults to
                `20`.
            refinements: int, 0 or more. Iterations to make each step exact. Defaults to
                `2`.
            times: float array of shape `(F,)`, or None. The times of the frames, as for
                `decode`; it needs `latents`. Defaults to those of the chunk.
            schedule: as for `decode`, which must be given the same.

        Returns:
            float32 NumPy array of the shape of `video`.

        Raises:
            ValueError: if an argument is not as above, or a value is not finite.

        Example:

        >>> regen = Regen.from_architecture("tiny", temporal_compression=4)
        >>> video = np.zeros((1, 5, 16, 24, 3), "uint8")
        >>> noise = regen.invert(video, num_steps=4)
        >>> noise.shape
        (1, 5, 16, 24, 3)
        >>> same = regen.decode(regen.encode(video), noise=noise, num_steps=4)

        Reference:
            Preechakul et al. 2022, *Diffusion Autoencoders*, section 3.2.
        """
        if times is None:
            video = self._checked_video(video)
            if latents is None:
                latents = self.encode(video)
        elif latents is None:
            raise ValueError(f"`times` need `latents`. Received: times={times}")
        latents = chunk_array(latents, "latents")
        check_latents(latents, self.encoder.latent_channels)
        frame_times = np.tile(
            self._decoding_times(latents.shape[1], times=times), (len(latents), 1)
        )
        return self.invert_chunks(
            latents,
            frame_times,
            chunk_array(video, "video"),
            num_steps,
            refinements,
            schedule,
        )

    def invert_chunks(
        self,
        latents: np.ndarray,
        times: np.ndarray,
        video: np.ndarray,
        num_steps: int = INVERSION_STEPS,
        refinements: int = 2,
        schedule: str = diffusion.DEFAULT_SCHEDULE,
    ) -> np.ndarray:
        """Finds the noise of chunks, each with its own times.

        Args:
            latents: float array of shape `(B, 2, h, w, C)`, or `(B, 1, h, w, C)`.
            times: float array of shape `(B, F)`, in frames from each chunk's first.
            video: array of shape `(B, F, 8h, 8w, 3)`: uint8, or float in [-1, 1].
            num_steps: as for `invert`.
            refinements: as for `invert`.
            schedule: as for `invert`.

        Returns:
            float32 NumPy array of the shape of `video`.

        Raises:
            ValueError: if an argument is not as above, or a value is not finite.
        """
        check_whole(1, MAX_STEPS, num_steps=num_steps)
        check_whole(0, MAX_STEPS, refinements=refinements)
        diffusion.check_schedule(schedule)
        check_frames(video, latents.shape, times.shape)
        counts = {"num_steps": num_steps, "refinements": refinements}
        inputs = {
            "latents": np.asarray(latents, "float32"),
            "times": np.asarray(times, "float32"),
            "video": video if video.dtype == "uint8" else video.astype("float32"),
            **{name: np.full((len(times),), n, "int32") for name, n in counts.items()},
        }
        return self._inference.invert(inputs, schedule)

    def _invert_tensors(self, inputs):
        # Equal for all samples; an int where the call is recorded.
        num_steps, refinements = (
            n if isinstance(n, int) else ops.max(n)
            for n in (inputs["num_steps"], inputs["refinements"])
        )
        return diffusion.invert(
            predictor(self.decoder, inputs["latents"], inputs["times"]),
            inputs["video"],
            self.diffusion_path,
            self.prediction,
            num_steps,
            refinements,
            inputs["schedule"],
        )

    def denoising_losses(
        self, video: ArrayLike, timesteps: Sequence[float], seed: int = 0
    ) -> np.ndarray:
        """Computes the diffusion loss of every chunk at given diffusion times.

        Training minimises its mean over times, noise and chunks.

        Args:
            video: as for `encode`.
            timesteps: sequence of float in [0, 1]: 0 is data, 1 is noise.
            seed: int. Seed of the noise canvas. Defaults to `0`.

        Returns:
            float32 NumPy array of shape `(len(timesteps), B)`.
        """
        latents = self.encode(video)
        target = ops.convert_to_tensor(
            to_unit_range(chunk_array(video, "video")), "float32"
        )
        batch, frames, height, width, _ = target.shape
        times = np.arange(frames, dtype="float32")
        noise = diffusion.noise_canvas(seed, times, (0, height), (0, width))
        noise = ops.convert_to_tensor(np.broadcast_to(noise, target.shape))
        inputs = {"latents": latents, "times": np.broadcast_to(times, (batch, frames))}
        losses = []
        for timestep in timesteps:
            t = ops.convert_to_tensor(timestep, "float32")
            inputs["timestep"] = np.full(batch, timestep, "float32")
            inputs["video"] = ops.convert_to_numpy(
                self.diffusion_path.interpolate(target, noise, t)
            )
            output = self._predict(inputs)
            expected = self.prediction.target(self.diffusion_path, target, noise, t)
            # Under `tf.distribute` every replica returns the whole batch.
            errors = self._weighted_errors(
                ops.convert_to_tensor(output[:batch]), expected, inputs["timestep"]
            )
            losses.append(ops.convert_to_numpy(errors))
        return np.stack(losses)

    def _weighted_errors(self, output, expected, timestep):
        """Returns the squared error of each sample times the weight of its time."""
        errors = ops.mean(ops.square(output - expected), axis=(1, 2, 3, 4))
        return errors * self.weighting.weight(
            self.diffusion_path, self.prediction, timestep
        )

    # === Export ===

    def export(
        self,
        filepath: StrPath,
        format: ExportFormat = "tf_saved_model",
        **options: Any,
    ) -> None:
        """Writes the trained model in a format that serves without Keras.

        TF Serving, `keras.layers.TFSMLayer` and `tf.saved_model.load` load
        `"tf_saved_model"`. Its signatures `encode`, `decode` and `reconstruct`, each
        also with the suffix `_uint8` or `_bytes`, take any batch, size and number of
        steps, check their inputs, and return the same as the methods of these names.
        `docs/serving.md` lists them.

        The other formats are a directory of two files, `encode` (`video` to `latents`)
        and `decode` (`latents`, `times`, `noise` to `video`), with the noise of
        `diffusion.noise_canvas`.

        If the backend cannot write a format, a process with another backend does.

        Args:
            filepath: path of a directory, new or empty; for TF Serving with a version
                number as its name, such as `serving/1`.
            format: `"tf_saved_model"`, `"onnx"`, `"openvino"`, `"torch"` or
                `"stablehlo"`. Defaults to `"tf_saved_model"`.
            **options: for `"tf_saved_model"`:
                `weights`, how they are stored: `"float32"`, `"bfloat16"` or `"int8"`,
                whole numbers with a scale for each output channel; the model computes
                in its own precision. Defaults to `"float32"`;
                `max_steps`, the limit of sampling steps in a request. Defaults to `32`;
                `max_pixels`, the limit of pixels in a request, over all its samples and
                frames. Defaults to `2**22`;
                `warmup`, sizes `(height, width)` of the requests that TF Serving warms
                up with. Defaults to `((128, 128),)`.
                For `"onnx"`, `"openvino"` and `"torch"`: `num_steps`, the sampling
                steps of `decode`. Defaults to `1`.
                For all: `schedule`, as for `decode`. Defaults to `"log_snr"`.

        Raises:
            ValueError: if an option is not as above or the directory is not empty.
            ImportError: if a package that the format needs is not installed, or Keras
                is too old for it.
        """
        # Imported when called, since `export` imports this module's package.
        from keras_regen.export import export

        export(self, filepath, format, **options)
