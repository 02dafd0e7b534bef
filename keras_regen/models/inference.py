"""Encoding and decoding as compiled functions."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_regen import diffusion
from keras_regen.models.compiled_model import CompiledModel
from keras_regen.models.input_checks import MAX_LATENT
from keras_regen.models.video_encoder import VideoEncoder
from keras_regen.pixels import to_uint8, to_unit_range
from keras_regen.types import Tensor

# Axes of a sample. The last is first, since Keras before 3.15 reduces them in turn on
# PyTorch, and counts the remaining ones anew each time.
_AXES = (4, 3, 2, 1)


def generate(
    decoder: keras.Model,
    path: diffusion.Path,
    prediction: diffusion.Prediction,
    latents: Tensor,
    times: Tensor,
    noise: Tensor,
    num_steps: int | Tensor,
) -> Tensor:
    """Samples chunks, in a form that every backend can trace.

    Args:
        decoder: a `DiTDecoder`.
        path: a `diffusion.Path`.
        prediction: a `diffusion.Prediction`.
        latents: float32 tensor of shape `(B, 2, h, w, C)` or `(B, 1, h, w, C)`.
        times: float32 tensor of shape `(B, F)`, in frames.
        noise: float32 tensor of shape `(B, F, 8h, 8w, 3)`.
        num_steps: sampling steps. An int writes out as many calls of the decoder; an
            int tensor of shape `(B,)` makes a loop.

    Returns:
        float32 tensor of shape `(B, F, 8h, 8w, 3)`. `finish` clips it.
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

    written_out = isinstance(num_steps, int)
    sample = diffusion.sample if written_out else diffusion.sample_in_loop
    return sample(predict, noise, path, prediction, num_steps)


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

    One function encodes, one decodes, and one does both, so that latents stay on the
    device. Each includes what is done to pixels: scaling, clipping and rounding. It is
    compiled once for each shape and dtype; PyTorch on CUDA, where Keras does not
    compile, records its kernels once for each.

    Args:
        encoder: a `VideoEncoder`.
        decoder: its decoder.
        decode: callable `(latents, inputs)` that returns a float32 video, in a form
            that every backend can trace. `inputs` is the dict of tensors that
            `Inference.decode` is given.
    """

    def __init__(
        self,
        encoder: VideoEncoder,
        decoder: keras.Model,
        decode: Callable[[Tensor, dict[str, Tensor]], Tensor],
    ) -> None:
        # Plain Python objects: as layers of the model they would be saved with it.
        self._encoding = CompiledModel(_EncodingModel(encoder))
        self._decoding = {
            (source, dtype): CompiledModel(
                _DecodingModel(
                    encoder if source == "video" else None, decoder, decode, dtype
                ),
                constants=("num_steps",),
            )
            for source in ("latents", "video")
            for dtype in ("float32", "uint8")
        }

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

    def decode(self, inputs: dict[str, Any], dtype: str = "float32") -> np.ndarray:
        """Decodes chunks from latents, or encodes and decodes them.

        Args:
            inputs: dict of arrays, all with a batch axis: `latents`, as `encode`
                returns them, or `video`, as it takes it, and what `decode` needs.
            dtype: `"float32"` or `"uint8"`. Defaults to `"float32"`.

        Returns:
            NumPy array of shape `(B, F, 8h, 8w, 3)`.

        Raises:
            ValueError: if a value of the latents or of the video is not finite.
        """
        source = "video" if "video" in inputs else "latents"
        batch = len(inputs[source])
        video, finite = self._decoding[source, dtype](inputs)
        if not np.all(finite[:batch]):
            raise ValueError(
                "Decoded frames must be finite; half precision can overflow. "
                f"Received: {np.count_nonzero(~finite[:batch])} of {batch} chunks with "
                "NaN or infinite values"
            )
        return video[:batch]


class _EncodingModel(keras.Model):
    """A model around the encoder, for Keras to compile its `predict_on_batch`."""

    def __init__(self, encoder):
        super().__init__(name="encoding", dtype="float32")
        self.encoder = encoder
        self.built = True
        self.autocast = False

    def call(self, inputs):
        return self.encoder(to_unit_range(inputs["video"]), training=False)


class _DecodingModel(keras.Model):
    """A model around encoder and decoder, or the decoder alone.

    Args:
        encoder: a `VideoEncoder`, or None.
        decoder: its decoder.
        decode: as for `Inference`.
        output_dtype: `"float32"` or `"uint8"`.
    """

    def __init__(self, encoder, decoder, decode, output_dtype):
        super().__init__(name="decoding", dtype="float32")
        if encoder is not None:
            self.encoder = encoder
        self.decoder = decoder
        self.decode = decode
        self.output_dtype = output_dtype
        # The weights exist already. Times must stay float32.
        self.built = True
        self.autocast = False

    def call(self, inputs):
        if "video" in inputs:
            video = to_unit_range(inputs["video"])
            latents = self.encoder(video, training=False)
        else:
            latents = inputs["latents"]
        video, finite = finish(self.decode(latents, inputs))
        bounded = ops.all(ops.abs(latents) <= MAX_LATENT, axis=_AXES)
        if self.output_dtype == "uint8":
            video = to_uint8(video)
        return video, ops.logical_and(finite, bounded)
