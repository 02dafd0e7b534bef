"""Encoding and decoding as compiled functions."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_regen import diffusion
from keras_regen.checks import check_finite
from keras_regen.models.compiled_model import CompiledModel
from keras_regen.models.input_checks import MAX_LATENT
from keras_regen.models.video_encoder import VideoEncoder
from keras_regen.pixels import to_uint8, to_unit_range
from keras_regen.types import Tensor

# Axes of a sample. The last is first, since Keras before 3.15 reduces them in turn on
# PyTorch, and counts the remaining ones anew each time.
_AXES = (4, 3, 2, 1)


def predictor(
    decoder: keras.Model, latents: Tensor, times: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns the decoder as a function of x_t and t, as `diffusion.sample` takes it.

    Args:
        decoder: a `DiTDecoder`.
        latents: float32 tensor of shape `(B, 2, h, w, C)` or `(B, 1, h, w, C)`.
        times: float32 tensor of shape `(B, F)`, in frames.
    """
    batch = ops.shape(latents)[0]

    def predict(x, t):
        inputs = {
            "video": x,
            "timestep": ops.broadcast_to(t, (batch,)),
            "latents": latents,
            "times": times,
        }
        return decoder(inputs, training=False)

    return predict


def finish(video: Tensor) -> tuple[Tensor, Tensor]:
    """Clips decoded frames, and says whether they were finite.

    Args:
        video: float32 tensor of shape `(B, F, H, W, 3)`.

    Returns:
        Pair of the video in [-1, 1] and a bool tensor of shape `(B,)`.
    """
    finite = ops.all(ops.isfinite(video), axis=_AXES)
    return ops.clip(video, -1.0, 1.0), finite


class Inference:
    """Runs an encoder and a decoder by functions that are compiled if Keras compiles.

    One function encodes, one decodes, one does both, so that latents stay on the
    device, and one finds the noise of a video. Each includes what is done to pixels:
    scaling, clipping and rounding. It is compiled once for each shape and dtype;
    PyTorch on CUDA, where Keras does not compile, records its kernels once for each.

    Args:
        encoder: a `VideoEncoder`.
        decoder: its decoder.
        decode: callable `(latents, inputs)` that returns a float32 video, in a form
            that every backend can trace. `inputs` is the dict of tensors that
            `Inference.decode` is given, and of one str, `schedule`.
        invert: callable `(inputs)` that returns the noise, float32, for the dict that
            `Inference.invert` is given and `schedule`; or None for models without.
    """

    def __init__(
        self,
        encoder: VideoEncoder,
        decoder: keras.Model,
        decode: Callable[[Tensor, dict[str, Any]], Tensor],
        invert: Callable[[dict[str, Any]], Tensor] | None = None,
    ) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._decode = decode
        self._invert: Any = invert
        # Plain Python objects: as layers of the model they would be saved with it.
        self._encoding = CompiledModel(_Program("encoding", self._encode, encoder))
        # The others are made when they are first called: few are.
        self._compiled: dict[tuple[str, ...], CompiledModel] = {}

    def encode(self, video: np.ndarray) -> np.ndarray:
        """Encodes chunks.

        Args:
            video: array of shape `(B, T, H, W, 3)`, uint8, or float32 in [-1, 1].

        Returns:
            float32 NumPy array of shape `(B, 2, h, w, C)`, or `(B, 1, h, w, C)`.
        """
        latents = self._encoding({"video": video})
        # Under `tf.distribute` every replica returns the whole batch.
        return latents[: len(video)]

    def decode(
        self,
        inputs: dict[str, Any],
        dtype: str = "float32",
        schedule: str = diffusion.DEFAULT_SCHEDULE,
    ) -> np.ndarray:
        """Decodes chunks from latents, or encodes and decodes them.

        Args:
            inputs: dict of arrays, all with a batch axis: `latents`, as `encode`
                returns them, or `video`, as it takes it, and what `decode` needs.
            dtype: `"float32"` or `"uint8"`. Defaults to `"float32"`.
            schedule: as for `diffusion.sample`. One step is the same with any.

        Returns:
            NumPy array of shape `(B, F, 8h, 8w, 3)`.

        Raises:
            ValueError: if a value of the latents or of the video is not finite.
        """
        source = "video" if "video" in inputs else "latents"
        batch = len(inputs[source])
        if "num_steps" not in inputs:
            schedule = diffusion.DEFAULT_SCHEDULE
        video, finite = self._decoding(source, dtype, schedule)(inputs)
        if not np.all(finite[:batch]):
            raise ValueError(
                "Decoded frames must be finite; half precision can overflow. "
                f"Received: {np.count_nonzero(~finite[:batch])} of {batch} chunks with "
                "NaN or infinite values"
            )
        return video[:batch]

    def invert(
        self,
        inputs: dict[str, Any],
        schedule: str = diffusion.DEFAULT_SCHEDULE,
    ) -> np.ndarray:
        """Finds the noise of chunks.

        Args:
            inputs: dict of arrays, all with a batch axis: `latents` and `times` as for
                `decode`; `video`, uint8 or float32 in [-1, 1]; and int32 `num_steps`
                and `refinements`, each equal for all samples.
            schedule: as for `diffusion.sample`.

        Returns:
            float32 NumPy array of the shape of `video`.

        Raises:
            ValueError: if a value is not finite.
        """
        noise = self._inverting(schedule)(inputs)[: len(inputs["video"])]
        check_finite(noise, "Noise must be finite; half precision can overflow.")
        return noise

    def _encode(self, inputs):
        return self._encoder(to_unit_range(inputs["video"]), training=False)

    def _decoding(self, source, dtype, schedule):
        encodes = source == "video"

        def decode(inputs):
            latents = self._encode(inputs) if encodes else inputs["latents"]
            video, finite = finish(
                self._decode(latents, {**inputs, "schedule": schedule})
            )
            bounded = ops.all(ops.abs(latents) <= MAX_LATENT, axis=_AXES)
            video = to_uint8(video) if dtype == "uint8" else video
            return video, ops.logical_and(finite, bounded)

        networks = (self._encoder, self._decoder) if encodes else (self._decoder,)
        key = "decoding", source, dtype, schedule
        return self._program(key, decode, networks, ("num_steps",))

    def _inverting(self, schedule):
        def invert(inputs):
            video = to_unit_range(inputs["video"])
            return self._invert({**inputs, "video": video, "schedule": schedule})

        constants = "num_steps", "refinements"
        return self._program(
            ("inversion", schedule), invert, (self._decoder,), constants
        )

    def _program(self, key, function, networks, constants):
        if key not in self._compiled:
            program = _Program(key[0], function, *networks)
            self._compiled[key] = CompiledModel(program, constants)
        return self._compiled[key]


class _Program(keras.Model):
    """A function of a dict of tensors, and the networks whose weights it uses."""

    def __init__(self, name, function, *networks):
        super().__init__(name=name, dtype="float32")
        self.function = function
        self.networks = networks
        # The weights exist already. Times must stay float32.
        self.built = True
        self.autocast = False

    def call(self, inputs):
        return self.function(inputs)
