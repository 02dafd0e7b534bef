"""Generation of the latents of videos by diffusion."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_regen import diffusion
from keras_regen.checks import MAX_SEED, check_finite, check_real, check_whole
from keras_regen.generation.conditions import checked_conditions, conditions
from keras_regen.generation.given_frames import GivenFrames, draw_given
from keras_regen.generation.latent_transformer import LatentTransformer
from keras_regen.generation.sampling_step import (
    SamplingStep,
    canvas_columns,
    check_sampling,
    from_canvas,
    latent_times,
    shifted_times,
    whole_patches,
)
from keras_regen.generation.training_data import check_training_data
from keras_regen.models import CompiledModel, TrainedModel
from keras_regen.types import Tensor

# Seed of the noise in `evaluate`, fixed so that it repeats.
EVALUATION_SEED = 2111


@keras.saving.register_keras_serializable(package="keras_regen")
class LatentDiffusion(TrainedModel):
    """Generates the latents of videos, by rectified flow.

    `fit` trains the transformer on latents of a codec: on dicts of `latents`, the
    condition (`text` and `text_mask`, or `label`) and, if they are not those of chunks
    one after the other, `times`; on latents alone if there is no condition. `compile`
    needs an optimiser and no loss. Latents are normalised inside the model.

    `call(inputs)` returns the normalised latents.

    Args:
        transformer: a `LatentTransformer`.
        temporal_compression: int. k of the codec: a chunk has k + 1 frames.
        mean: array of shape `(2, C)`: the mean of every channel, of the content and of
            the motion latents. Defaults to 0.
        std: array of shape `(2, C)`: the standard deviations. Defaults to 1.
        encoder_id: str or None. `VideoEncoder.fingerprint()` of the codec's encoder.
            Defaults to `None`, any.
        diffusion_path: a `diffusion.Path` or its name. Defaults to `"linear"`.
        prediction: a `diffusion.Prediction` or its name. Defaults to `"velocity"`.
        time_distribution: a `diffusion.TimeDistribution` or its name, or None for
            logit-normal times, none of them at t = 1. Defaults to `None`.
        drop_condition: float in [0, 1). The share of samples that are trained without
            their condition, which guidance needs. Defaults to `0.1`.
        given_share: float in [0, 1]. The share of samples that are trained with given
            latent frames. Defaults to `0.3`.
        seed: int. Seed of times, noise and masks in training. Defaults to `0`.
        text_encoder_id: str or None. The `encoder_id` of the `TextEncoder` of the texts
            that it is trained on. Defaults to `None`, any.

    Raises:
        ValueError: if an argument is not as above.

    Example:

    >>> transformer = LatentTransformer(units=64, depth=2, num_heads=2, num_labels=10)
    >>> model = LatentDiffusion(transformer, temporal_compression=8)
    >>> latents = model.generate(
    ...     num_chunks=2, size=(3, 4), seeds=[0, 1], label=[3, 7], num_steps=4
    ... )
    >>> latents.shape
    (2, 4, 3, 4, 8)

    Reference:
        Liu et al. 2023, *Flow Straight and Fast*, section 2.1; Esser et al. 2024,
        *Scaling Rectified Flow Transformers for High-Resolution Image Synthesis*,
        sections 3.1 and 5.3.2 (time shift); Ho and Salimans 2022, *Classifier-Free
        Diffusion Guidance*, equation 6.
    """

    preset_kind = "generator"

    def __init__(
        self,
        transformer: LatentTransformer,
        temporal_compression: int,
        mean: Any = None,
        std: Any = None,
        encoder_id: str | None = None,
        diffusion_path: str | diffusion.Path = "linear",
        prediction: str | diffusion.Prediction = "velocity",
        time_distribution: str | diffusion.TimeDistribution | None = None,
        drop_condition: float = 0.1,
        given_share: float = 0.3,
        seed: int = 0,
        text_encoder_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Keras decides by the model's own policy whether to scale the loss.
        kwargs.setdefault("dtype", transformer.dtype_policy)
        super().__init__(**kwargs)
        self.autocast = False
        check_whole(1, 64, temporal_compression=temporal_compression)
        check_real(0, 1, drop_condition=drop_condition, given_share=given_share)
        if drop_condition == 1:
            raise ValueError(
                "`drop_condition` must be less than 1, or no condition is learnt. "
                f"Received: drop_condition={drop_condition}"
            )
        check_whole(0, MAX_SEED, seed=seed)
        self.transformer = transformer
        self.temporal_compression = temporal_compression
        shape = (2, transformer.latent_channels)
        self.mean = _statistics("mean", mean, shape, 0.0)
        self.std = _statistics("std", std, shape, 1.0)
        if not np.all(np.array(self.std) > 0):
            raise ValueError(f"`std` must be positive. Received: std={self.std}")
        for name, value in (
            ("encoder_id", encoder_id),
            ("text_encoder_id", text_encoder_id),
        ):
            if not isinstance(value, str | None):
                raise ValueError(
                    f"`{name}` must be a str or None. Received: {name}={value!r}"
                )
        self.encoder_id = encoder_id
        self.text_encoder_id = text_encoder_id
        self.diffusion_path = diffusion.get(diffusion.Path, diffusion_path)
        self.prediction = diffusion.get(diffusion.Prediction, prediction)
        if time_distribution is None:
            time_distribution = diffusion.LogitNormalTimes(0.0)
        self.time_distribution = diffusion.get(
            diffusion.TimeDistribution, time_distribution
        )
        self.drop_condition = drop_condition
        self.given_share = given_share
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._step = CompiledModel(
            SamplingStep(transformer, self.diffusion_path, self.prediction)
        )
        # The weights exist already: the transformer is a functional model.
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        latents = ops.cast(_as_dict(inputs)["latents"], "float32")
        if (latents.shape[1] or 0) % 2:
            raise ValueError(
                "A chunk has two latent frames, so their number must be even. "
                f"Received: latents.shape={tuple(latents.shape)}"
            )
        patch = self.transformer.patch_size
        if any(side is not None and side % patch for side in latents.shape[2:4]):
            raise ValueError(
                f"Rows and columns must be multiples of the patch size, {patch}. "
                f"Received: latents.shape={tuple(latents.shape)}"
            )
        mean, std = self._alternating(ops.shape(latents)[1])
        return (latents - mean) / std

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None
    ) -> keras.KerasTensor:
        return keras.KerasTensor(_as_dict(inputs)["latents"].shape, "float32")

    def _alternating(self, frames):
        """Returns mean and std for latent frames that take turns."""
        return (
            ops.tile(ops.convert_to_tensor(x, "float32"), (frames // 2, 1))[
                :, None, None
            ]
            for x in (self.mean, self.std)
        )

    # === Training ===

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains the model; see `keras.Model.fit`.

        Args:
            x: latents and conditions, see the class, or what gives batches of them. An
                array of labels is checked first: `num_labels` stands for none. So is a
                `LatentClips`, which must have `normalize=False`, since the model
                normalises by its own `mean` and `std`.
            *args: as for `keras.Model.fit`, and so are the others.
            **kwargs: as for `keras.Model.fit`. `validation_data` is checked like `x`.

        Raises:
            ValueError: if a label is not one of the model's, nor none, or a
                `LatentClips` is of another codec, text encoder or number of labels.
        """
        for data in (x, kwargs.get("validation_data")):
            check_training_data(self, data)
        return super().fit(x, *args, **kwargs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Computes the diffusion loss of the latent frames that are not given.

        Args:
            x: as `fit` takes it.
            y: None.
            y_pred: the normalised latents, from `call`.
            sample_weight: None, or float tensor of shape `(B,)` or `(B, 1)`.
            training: bool. Evaluation uses fixed noise, evenly spaced times, 8 or more
                (a smaller batch is repeated), every condition and no given frames.

        Returns:
            Scalar, float32: the mean over the batch plus the losses that layers add.
        """
        if not training:
            x, y_pred, sample_weight = self._repeat_samples(
                (x, y_pred, sample_weight), ops.shape(y_pred)[0]
            )
        inputs, latents = _as_dict(x), y_pred
        shape = ops.shape(latents)
        batch, frames = shape[:2]
        if training:
            draw = [self._uniform((batch,)) for _ in range(4)]
            noise = keras.random.normal(shape, seed=self.seed_generator)
            given = draw_given(
                draw[0], draw[1], self._uniform((batch, frames)), self.given_share
            )
            u, keep = draw[2], draw[3] >= self.drop_condition
        else:
            u = (ops.arange(batch, dtype="float32") + 0.5) / ops.cast(batch, "float32")
            noise = keras.random.normal(shape, seed=EVALUATION_SEED)
            given, keep = ops.zeros((batch, frames)), ops.ones((batch,), "bool")
        timestep = self.time_distribution(u)[:, None] * (1.0 - given)
        t = timestep[..., None, None, None]
        output = self.transformer(
            {
                "latents": self.diffusion_path.interpolate(latents, noise, t),
                "timestep": timestep,
                "times": self._times(inputs, batch, frames),
                **conditions(self.transformer, inputs, keep),
            },
            training=training,
        )
        target = self.prediction.target(self.diffusion_path, latents, noise, t)
        errors = ops.mean(ops.square(output - target), axis=(2, 3, 4)) * (1.0 - given)
        losses = ops.sum(errors, axis=1) / ops.sum(1.0 - given, axis=1)
        return self._mean_loss(losses, sample_weight)

    def _uniform(self, shape):
        return keras.random.uniform(shape, seed=self.seed_generator)

    def _times(self, inputs, batch, frames):
        """Returns where latent frames are: content first, motion in the middle."""
        if "times" in inputs:
            return ops.cast(inputs["times"], "float32")
        times = ops.arange(frames, dtype="float32")
        times = latent_times(times, self.temporal_compression)
        return ops.broadcast_to(times, (batch, frames))

    # === Generation ===

    def generate(
        self,
        num_chunks: int,
        size: tuple[int, int],
        seeds: int | Sequence[int] = 0,
        *,
        text: Any = None,
        text_mask: Any = None,
        label: Any = None,
        given: GivenFrames | None = None,
        num_steps: int = 30,
        guidance: float = 1.0,
        time_shift: float = 1.0,
        first_chunk: int = 0,
        callback: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Generates the latents of videos.

        A video depends on its own seed and condition, and not on others in the batch
        but by rounding.

        Args:
            num_chunks: int. n: chunks of each video.
            size: pair of int `(rows, columns)`, of the latents: an eighth of those of
                the video.
            seeds: int or sequence of int: the seed of each video. Defaults to `0`.
            text: float array of shape `(B, L, E)`, if the model has a text.
            text_mask: bool array of shape `(B, L)`, if the model has a text.
            label: int array of shape `(B,)`, if the model has labels; `num_labels`
                stands for none, which needs `guidance=1`.
            given: a `GivenFrames`, or None. Defaults to `None`.
            num_steps: int. Calls of the transformer. Defaults to `30`.
            guidance: float, 0 or more. How far to go from the prediction without the
                condition to that with it: 1 is the latter; other values call the
                transformer with twice the batch. Defaults to `1`.
            time_shift: float, positive. Above 1, more of the steps are near the noise,
                as large videos need. Defaults to `1`.
            first_chunk: int. The number of the first chunk in a longer video; see
                `generate_stream`. Defaults to `0`.
            callback: called after each step with the steps done and `num_steps`.

        Returns:
            float32 array of shape `(B, 2n, rows, columns, C)`, latents of the codec.

        Raises:
            ValueError: if an argument is not as above, or a value is not finite.
        """
        check_whole(1, 2**20, num_chunks=num_chunks)
        check_whole(0, 2**30, first_chunk=first_chunk)
        check_sampling(num_steps, guidance, time_shift)
        seeds = self._checked_seeds(seeds, size, given, 2 * num_chunks)
        condition = checked_conditions(
            self.transformer, len(seeds), text=text, text_mask=text_mask, label=label
        )
        frames = 2 * first_chunk + np.arange(2 * num_chunks)
        # Rows and columns beyond `size` are cropped at the end.
        whole = whole_patches(size, self.transformer.patch_size)
        x = np.stack([self._noise(seed, frames, whole) for seed in seeds])
        mask = np.zeros(x.shape[:2], "float32")
        mean, std = (ops.convert_to_numpy(v) for v in self._alternating(len(frames)))
        if given is not None:
            mask = given.mask.astype("float32")
            clean = np.where(mask[..., None, None, None], given.latents, 0.0)
            over = ((0, whole[i] - size[i]) for i in (0, 1))
            clean = np.pad(clean, ((0, 0), (0, 0), *over, (0, 0)), "edge")
            x = np.where(mask[..., None, None, None], (clean - mean) / std, x)
        times = shifted_times(self.prediction, num_steps, time_shift)
        places = latent_times(frames, self.temporal_compression).astype("float32")
        inputs = {"given": mask, "times": np.tile(places, (len(seeds), 1))}
        if guidance != 1.0 and condition:
            inputs["guidance"] = np.full(len(seeds), guidance, "float32")
        for step in range(num_steps):
            t, next_t = (
                np.full(len(seeds), times[i], "float32") for i in (step, step + 1)
            )
            x = self._step(
                {"latents": x, "t": t, "next_t": next_t, **inputs, **condition}
            )
            # Under `tf.distribute` every replica returns the whole batch.
            x = x[: len(seeds)]
            if callback is not None:
                callback(step + 1, num_steps)
        latents = (x * std + mean)[:, :, : size[0], : size[1]]
        check_finite(
            latents, "Generated latents must be finite; half precision can overflow."
        )
        if given is not None:
            latents[given.mask] = given.latents[given.mask]
        return latents

    def generate_stream(
        self,
        num_chunks: int,
        size: tuple[int, int],
        seeds: int | Sequence[int] = 0,
        *,
        window_chunks: int,
        context_chunks: int = 1,
        given: GivenFrames | None = None,
        **kwargs: Any,
    ) -> Iterator[np.ndarray]:
        """Generates the latents of long videos, some chunks at a time.

        A window of chunks is generated at once. Its last chunks are given to the next
        window, so memory does not grow with the length, and a longer video starts with
        the same windows.

        Args:
            num_chunks: int. Chunks of each video.
            size: as for `generate`.
            seeds: as for `generate`.
            window_chunks: int, at least 2. Chunks that are generated at once.
            context_chunks: int, at least 1 and below `window_chunks`. Chunks that are
                given to the next window. Defaults to `1`.
            given: a `GivenFrames` of the whole video or of its first chunks, or None.
            **kwargs: arguments of `generate`, but for `first_chunk`.

        Yields:
            float32 arrays of shape `(B, 2m, rows, columns, C)`: the m new chunks of
            each window.

        Raises:
            ValueError: if an argument is not as above.
        """
        if "first_chunk" in kwargs:
            raise ValueError(
                "A stream starts with chunk 0 and counts its chunks itself. "
                f"Received: first_chunk={kwargs['first_chunk']!r}"
            )
        check_whole(1, 2**30, num_chunks=num_chunks)
        check_whole(2, 2**20, window_chunks=window_chunks)
        check_whole(1, window_chunks - 1, context_chunks=context_chunks)
        seeds = self._checked_seeds(seeds, size, given)
        done, context = 0, None
        while done < num_chunks:
            first = done - context_chunks if done else 0
            window_given = _window_of(given, context, first, window_chunks)
            if window_given is not None and window_given.mask.all():
                window = window_given.latents
            else:
                window = self.generate(
                    window_chunks,
                    size,
                    seeds,
                    given=window_given,
                    first_chunk=first,
                    **kwargs,
                )
            new = window[:, 2 * (done - first) :][:, : 2 * (num_chunks - done)]
            yield new
            done += new.shape[1] // 2
            context = window[:, -2 * context_chunks :]

    def _checked_seeds(self, seeds, size, given, frames=None):
        """Checks the sizes of a request; returns its seeds as a list."""
        check_whole(1, 2**20, rows=size[0], columns=size[1])
        seeds = [seeds] if isinstance(seeds, int | np.integer) else list(seeds)
        check_whole(1, 2**20, videos=len(seeds))
        if given is not None:
            # Of a stream, any number of frames is given.
            frames = frames or given.latents.shape[1]
            shape = len(seeds), frames, *size, self.transformer.latent_channels
            if given.latents.shape != shape:
                raise ValueError(
                    f"Given latents must have shape {shape}. "
                    f"Received: given.latents.shape={given.latents.shape}"
                )
        return seeds

    def _noise(self, seed, frames, size):
        """Draws noise from the canvas: of every frame, row and column its own."""
        channels = self.transformer.latent_channels
        columns = canvas_columns(size[1], channels)
        canvas = diffusion.noise_canvas(seed, frames, (0, size[0]), (0, columns))
        return from_canvas(np, canvas, channels)


def _as_dict(inputs):
    return inputs if isinstance(inputs, Mapping) else {"latents": inputs}


def _window_of(given, context, first_chunk, num_chunks):
    """Returns the given frames of a window that starts with a context, or None."""
    here = None if given is None else given.window(first_chunk, num_chunks)
    if context is None:
        return here
    before = GivenFrames.first(context, num_chunks)
    return before if here is None else before.over(here)


def _statistics(name, values, shape, default):
    """Returns statistics as nested lists, which a configuration can hold."""
    values = np.full(shape, default) if values is None else np.asarray(values, float)
    if values.shape != shape or not np.all(np.isfinite(values)):
        raise ValueError(
            f"`{name}` must be finite numbers of shape {shape}. "
            f"Received: {name} of shape {values.shape}"
        )
    return values.tolist()
