"""Base of the models that users hold."""

import warnings
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_regen import diffusion
from keras_regen.checks import check_finite, suggest_arguments
from keras_regen.models.conv_decoder import ConvDecoder
from keras_regen.models.dit_decoder import DiTDecoder
from keras_regen.models.inference import Inference
from keras_regen.models.input_checks import (
    check_chunk,
    check_latents,
    check_noise,
    check_targets,
    check_times,
    chunk_array,
)
from keras_regen.models.trained_model import TrainedModel
from keras_regen.models.video_encoder import VideoEncoder
from keras_regen.pixels import SPATIAL_COMPRESSION, to_unit_range
from keras_regen.types import Tensor

# Steps in which `Regen.invert` finds noise, and `decode` starts from it.
INVERSION_STEPS = 20


class VideoAutoencoder(TrainedModel):
    """An encoder that maps a chunk to two latent frames, and a decoder for them.

    `call(video)` returns the latents. Subclasses define `compute_loss`, which `fit`
    minimises; `_decode_tensors(latents, inputs)`, which decodes chunks in a form that
    every backend can trace; and `_decoding_inputs(num_latents, times, noise,
    num_steps)`, which checks the arguments of `decode_chunks` and returns `inputs`, a
    dict of NumPy arrays with a batch axis.

    Args:
        encoder: a `VideoEncoder`.
        decoder: a model of the same `temporal_compression` and `latent_channels`.
    """

    preset_kind = "codec"
    # Finds noise in a form that every backend can trace, in models that have it.
    _invert_tensors: Callable[[dict[str, Any]], Tensor] | None = None
    # Whether the decoder starts from noise and decodes in any number of steps and at
    # any times.
    is_generative = False

    def __init__(
        self, encoder: VideoEncoder, decoder: DiTDecoder | ConvDecoder, **kwargs: Any
    ) -> None:
        # Keras decides by the model's own policy whether to scale the loss, which
        # float16 needs.
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
        self._inference = Inference(
            encoder, decoder, self._decode_tensors, self._invert_tensors
        )
        # Whether the user has given a float video that is evidently in [-1, 1], or has
        # been warned.
        self._knows_range = False
        # The weights exist already: both parts are functional models.
        self.built = True

    @property
    def temporal_compression(self) -> int:
        """k: frames after the first in one chunk."""
        return self.encoder.temporal_compression

    def call(self, video: Tensor, training: bool | None = None) -> Tensor:
        check_chunk(video, self.temporal_compression, values=not training)
        return self.encoder(to_unit_range(video), training=training)

    def compute_output_spec(
        self, video: keras.KerasTensor, training: bool | None = None
    ) -> keras.KerasTensor:
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

    @suggest_arguments
    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains the model; see `keras.Model.fit`.

        Args:
            x: chunks, as `encode` takes them, or what gives batches of them. An array
                is checked first.
            y: target frames, see `compute_loss`, or None. An array is checked first.
            *args: as for `keras.Model.fit`, and so are the others.
            **kwargs: as for `keras.Model.fit`.

        Raises:
            ValueError: if an array has another shape, dtype or range.
        """
        if isinstance(x, np.ndarray):
            x = self._checked_video(x)
            if isinstance(y, np.ndarray):
                check_targets(y, x)
        return super().fit(x, y, *args, **kwargs)

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> dict[str, Any]:
        # Keras passes what `call` returns to metrics, and on JAX no weights, so that
        # they could not decode it.
        if self._compile_metrics is not None:
            raise ValueError(
                "The outputs of the model are latents, which metrics cannot compare "
                "with videos: score videos in a callback, as `training.SampleMonitor` "
                "does, or with `metric.update_state(video, model.reconstruct(video))`. "
                "Received: metrics in `compile`"
            )
        return super().compute_metrics(x, y, y_pred, sample_weight)

    # === Inference ===

    @suggest_arguments
    def encode(self, video: ArrayLike) -> np.ndarray:
        """Encodes one chunk.

        Args:
            video: array of shape `(B, k + 1, H, W, 3)`, or `(B, 1, H, W, 3)` for
                images; float in [-1, 1] or uint8. H and W multiples of 8.

        Returns:
            float32 NumPy array of shape `(B, 2, H / 8, W / 8, C)`; `(B, 1, ...)` for
            images.

        Raises:
            ValueError: if the shape, dtype or range is not as above, or for NaNs, in
                the video or in the latents.
        """
        latents = self._inference.encode(self._checked_video(video))
        check_finite(latents, "Latents must be finite; half precision can overflow.")
        return latents

    def _checked_video(self, video: ArrayLike) -> np.ndarray:
        video = chunk_array(video, "video")
        check_chunk(video, self.temporal_compression)
        if video.dtype == "uint8":
            return video
        self._warn_of_unit_interval(video)
        return np.asarray(video, "float32")

    def _warn_of_unit_interval(self, video):
        """Warns, once, if the first videos that are not constant lie in [0, 1]."""
        low = 0 if self._knows_range or not video.size else video.min()
        if low < 0:
            self._knows_range = True
        elif not self._knows_range and low < video.max():
            self._knows_range = True
            warnings.warn(
                "The video lies in [0, 1], and a float video is expected in [-1, 1], "
                "where -1 is black: give uint8, or `2 * video - 1`.",
                stacklevel=5,
            )

    @suggest_arguments
    def decode(
        self,
        latents: ArrayLike,
        num_frames: int | None = None,
        times: ArrayLike | None = None,
        num_steps: int | None = None,
        seed: int = 0,
        noise_scale: float = 1.0,
        origin: tuple[int, int, int] = (0, 0, 0),
        dtype: Literal["float32", "uint8"] = "float32",
        schedule: diffusion.ScheduleName = diffusion.DEFAULT_SCHEDULE,
        noise: ArrayLike | None = None,
    ) -> np.ndarray:
        """Decodes one chunk from its latents.

        The same latents, seed and steps give the same video.

        Args:
            latents: array of shape `(B, 2, h, w, C)`, or `(B, 1, h, w, C)` for images;
                at most 10,000 in magnitude.
            num_frames: int or None. Number of frames, evenly spaced over the chunk.
                Defaults to the `k + 1` of the chunk, or 1 for images.
            times: float array of shape `(F,)`, or None. Instead of `num_frames`: the
                times to decode, in frames from the chunk's first. Times from 0 to k are
                inside the chunk, fractions interpolate, others extrapolate.
            num_steps: int or None. Sampling steps. Defaults to `1`, or with `noise` to
                the 20 that `invert` takes.
            seed: int. Seed of the noise canvas. Defaults to `0`.
            noise_scale: float. Standard deviation of the noise of the canvas, 0 or
                more; the model was trained with 1. Defaults to `1`.
            origin: tuple of int `(frame, row, column)`. Where the chunk begins in the
                whole video, and so on the noise canvas; in frames and pixels. Defaults
                to `(0, 0, 0)`.
            dtype: `"float32"` for [-1, 1] or `"uint8"`. Defaults to `"float32"`.
            schedule: `"uniform"` or `"log_snr"`. The times of the steps, see
                `diffusion.sampling_time`. One step is the same with both. Defaults to
                `"log_snr"`.
            noise: float array of shape `(B, F, 8h, 8w, 3)`, or None. What to start
                from, instead of the canvas, as `Regen.invert` returns it. With it,
                sampling ends where noise and data have equal parts, so that what the
                noise holds is kept: other noise would be seen. Defaults to `None`.

        Returns:
            NumPy array of shape `(B, F, 8h, 8w, 3)`.

        Raises:
            ValueError: if an argument is not as above, or a decoded value is not
                finite.
        """
        latents = chunk_array(latents, "latents")
        check_latents(latents, self.encoder.latent_channels)
        if dtype not in ("float32", "uint8"):
            raise ValueError(
                f'`dtype` must be "float32" or "uint8". Received: dtype={dtype}'
            )
        if num_steps is None:
            num_steps = 1 if noise is None else INVERSION_STEPS
        if noise is not None and noise_scale != 1:
            raise ValueError(
                "`noise` is what decoding starts from as it is: `noise_scale` must be "
                f"1. Received: noise_scale={noise_scale}"
            )
        sampling = diffusion.Sampling(num_steps, seed, noise_scale, schedule)
        chunk_times = self._decoding_times(latents.shape[1], num_frames, times)
        all_times, area = self._times_and_area(
            len(latents), chunk_times, sampling, origin
        )
        start = area if noise is None else chunk_array(noise, "noise")
        return self.decode_chunks(latents, all_times, start, num_steps, dtype, schedule)

    def decode_chunks(
        self,
        latents: np.ndarray,
        times: np.ndarray,
        noise: diffusion.CanvasArea | np.ndarray,
        num_steps: int = 1,
        dtype: str = "float32",
        schedule: str = diffusion.DEFAULT_SCHEDULE,
    ) -> np.ndarray:
        """Decodes chunks, each with its own times and noise.

        `decode` calls it after checking its arguments.

        Args:
            latents: float array of shape `(B, 2, h, w, C)`, or `(B, 1, h, w, C)`.
            times: float array of shape `(B, F)`, in frames from each chunk's first.
            noise: what to start from: a `diffusion.CanvasArea` of NumPy arrays, or
                values as for `decode`. A `ConvAutoencoder` does not use it, nor
                `num_steps` and `schedule`.
            num_steps: int. Sampling steps. Defaults to `1`.
            dtype: `"float32"` or `"uint8"`. Defaults to `"float32"`.
            schedule: as for `decode`.

        Returns:
            NumPy array of shape `(B, F, 8h, 8w, 3)`: float32 in [-1, 1], or uint8.

        Raises:
            ValueError: if a decoded value is not finite.
        """
        latents = np.asarray(latents, "float32")
        if not isinstance(noise, diffusion.CanvasArea):
            noise = check_noise(noise, latents.shape, np.shape(times))
        inputs = self._decoding_inputs(latents.shape[1], times, noise, num_steps)
        return self._inference.decode({"latents": latents, **inputs}, dtype, schedule)

    @suggest_arguments
    def reconstruct(
        self,
        video: ArrayLike,
        num_steps: int = 1,
        seed: int = 0,
        origin: tuple[int, int, int] = (0, 0, 0),
        schedule: diffusion.ScheduleName = diffusion.DEFAULT_SCHEDULE,
    ) -> np.ndarray:
        """Encodes one chunk and decodes it again.

        Args:
            video: as for `encode`.
            num_steps: int. Sampling steps. Defaults to `1`.
            seed: int. Seed of the noise canvas. Defaults to `0`.
            origin: as for `decode`.
            schedule: as for `decode`.

        Returns:
            NumPy array of the video's shape: uint8 if the video is uint8, else float32
            in [-1, 1].
        """
        video = self._checked_video(video)
        sampling = diffusion.Sampling(num_steps, seed, schedule=schedule)
        num_latents = min(video.shape[1], 2)
        times, area = self._times_and_area(
            len(video), self._decoding_times(num_latents), sampling, origin
        )
        inputs = self._decoding_inputs(num_latents, times, area, num_steps)
        inputs["video"] = video
        return self._inference.decode(inputs, str(video.dtype), schedule)

    def _times_and_area(self, batch, times, sampling, origin):
        """Returns times and the area of the canvas for a batch of equal chunks."""
        place = np.asarray(origin)
        if place.shape != (3,) or not np.issubdtype(place.dtype, np.integer):
            raise ValueError(
                "`origin` must be three ints: a frame, a row and a column. "
                f"Received: origin={origin!r:.200}"
            )
        times = np.tile(times, (batch, 1))
        frame, *corner = place
        return times, sampling.area(times + frame, np.tile(corner, (batch, 1)))

    def _decoding_times(self, num_latents, num_frames=None, times=None):
        if times is not None and num_frames is not None:
            raise ValueError(
                "Give `num_frames` or `times`, not both. "
                f"Received: num_frames={num_frames}, times={times}"
            )
        if times is not None:
            return check_times(times)
        last = self.temporal_compression if num_latents == 2 else 0
        if num_frames is None:
            num_frames = last + 1
        if num_frames < 1:
            raise ValueError(
                f"`num_frames` must be at least 1. Received: num_frames={num_frames}"
            )
        return np.linspace(0.0, last, num_frames)
