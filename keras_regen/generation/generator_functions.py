"""A generator as pure functions of weights and tensors, to export."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from keras_regen.codec import FADE_TOLERANCE
from keras_regen.diffusion import CanvasArea, draw_noise
from keras_regen.generation.conditions import condition_names
from keras_regen.generation.sampling_step import (
    SamplingStep,
    canvas_columns,
    from_canvas,
    latent_times,
    shifted_times,
    whole_patches,
)
from keras_regen.models import with_values
from keras_regen.pixels import SPATIAL_COMPRESSION, latent_size
from keras_regen.text import TextEmbeddings
from keras_regen.types import Tensor

if TYPE_CHECKING:
    from keras_regen.generation.generator_export import GeneratorOptions
    from keras_regen.generation.video_generator import VideoGenerator


class GeneratorFunctions:
    """What is exported of a generator, for videos of one length and size.

    Args:
        generator: a `VideoGenerator`.
        options: a `GeneratorOptions`.

    Attributes:
        options: the `GeneratorOptions`.
        codec: the `Regen` of the codec.
        transformer: the `LatentTransformer`.
        condition_names: tuple of str. The names of the inputs that are conditions.
        texts: `TextEmbeddings` of known texts, or None.
        frames: int array of shape `(2n,)`: the latent frames of a window, their times
            on the noise canvas.
        num_chunks: int. The chunks of a window that are decoded.
        chunk_times: float array of shape `(F,)`: the times that each chunk is decoded
            at, in frames from its first.
        starts: int array of shape `(num_chunks,)`: the first frame of each chunk.
    """

    def __init__(
        self, generator: "VideoGenerator", options: "GeneratorOptions"
    ) -> None:
        model, layout = generator.diffusion, generator.codec.layout
        transformer = model.transformer
        self.options = options
        self.codec = generator.codec.model
        self.transformer = transformer
        self.condition_names = condition_names(transformer)
        texts = generator.text_encoder
        self.texts = texts if isinstance(texts, TextEmbeddings) else None

        window = generator.defaults.window_chunks
        self.frames = np.arange(2 * window)
        self.num_chunks = layout.count(options.num_frames)
        self.chunk_times = layout.decoded_times
        self.starts = layout.stride * np.arange(self.num_chunks)

        self._step = SamplingStep(transformer, model.diffusion_path, model.prediction)
        self._size = latent_size(options.height, options.width)
        self._whole = whole_patches(self._size, transformer.patch_size)
        self._channels = transformer.latent_channels
        self._mean, self._std = (
            np.tile(np.asarray(x, "float32"), (window, 1))[:, None, None]
            for x in (model.mean, model.std)
        )
        times = shifted_times(model.prediction, options.num_steps, options.time_shift)
        self._sampling_times = times.astype("float32")
        times = latent_times(self.frames, model.temporal_compression)
        self._latent_times = times.astype("float32")
        self._layout = layout

    def sample(
        self,
        weights: Sequence[Tensor],
        words: Tensor,
        condition: Mapping[str, Tensor],
        guidance: Tensor | None,
    ) -> Tensor:
        """Generates the latents of a window of chunks.

        Args:
            weights: sequence of tensors, the values of `transformer.variables`.
            words: int32 tensor of shape `(B, 2n, 4)`, of `frames`, as
                `diffusion.CanvasArea` has them.
            condition: dict of the inputs in `condition_names`.
            guidance: float32 tensor of shape `(B,)`, or None without conditions.

        Returns:
            float32 tensor of shape `(B, 2n, rows, columns, C)`, latents of the codec.
        """
        x = self._noise(words)
        batch = ops.shape(words)[0]
        fixed = {
            "given": ops.zeros((batch, len(self.frames))),
            "times": ops.broadcast_to(self._latent_times, (batch, len(self.frames))),
            **condition,
        }
        with with_values(self.transformer.variables, weights):
            if guidance is None:
                x = self._integrate(x, fixed)
            else:
                x = ops.cond(
                    ops.all(guidance == 1.0),
                    lambda: self._integrate(x, fixed),
                    lambda: self._integrate(x, {**fixed, "guidance": guidance}),
                )
        x = x * self._std + self._mean
        return x[:, :, : self._size[0], : self._size[1]]

    def _noise(self, words):
        batch = ops.shape(words)[0]
        rows, columns = self._whole
        area = CanvasArea(words, ops.zeros((batch, 2), "int32"), ops.ones((batch,)))
        canvas = draw_noise(area, rows, canvas_columns(columns, self._channels))
        flat = ops.reshape(canvas, (-1, *canvas.shape[2:]))
        noise = from_canvas(ops, flat, self._channels)
        return ops.reshape(noise, (-1, len(self.frames), *noise.shape[1:]))

    def _integrate(self, x, fixed):
        """Takes all sampling steps, as a loop in the graph."""
        times = ops.convert_to_tensor(self._sampling_times)
        shape = x.shape

        def body(i, x):
            t, next_t = (
                ops.broadcast_to(ops.take(times, i + j), ops.shape(x)[:1])
                for j in (0, 1)
            )
            x = self._step.call({"latents": x, "t": t, "next_t": next_t, **fixed})
            return ops.reshape(x, (-1, *shape[1:]))

        return ops.fori_loop(0, self.options.num_steps, body, x)

    def stitch(self, decoded: Tensor) -> Tensor:
        """Fades decoded chunks into each other, and crops, as `VideoCodec` does.

        Args:
            decoded: float32 tensor of shape `(B, num_chunks, F, 8h, 8w, 3)`.

        Returns:
            float32 tensor of shape `(B, T, H, W, 3)`.
        """
        options, layout = self.options, self._layout
        before, after, weights, cuts = _shares(layout, options.num_frames)
        decoded = decoded[..., : options.height, : options.width, :]
        frames = ops.reshape(
            decoded,
            (-1, decoded.shape[1] * decoded.shape[2], options.height, options.width, 3),
        )
        last = ops.take(frames, after, axis=1)
        if not layout.blend_frames or self.num_chunks == 1:
            return last
        weights, cuts = (
            ops.convert_to_tensor(x[:, None, None, None]) for x in (weights, cuts)
        )
        # See `codec.stitcher.crossfade`.
        difference = last - ops.take(frames, before, axis=1)
        magnitude = _local_mean(ops.mean(ops.abs(difference), axis=-1, keepdims=True))
        agreement = ops.exp(-ops.square(magnitude / FADE_TOLERANCE))
        return last - (cuts + (weights - cuts) * agreement) * difference


def _shares(layout, num_frames):
    """Returns which two decoded frames each frame is mixed of, and their shares.

    Returns:
        Int arrays of numbers among all decoded frames, chunk after chunk: that of the
        chunk before, and that of the chunk after; and the weight and the cut of the
        former, see `crossfade`. Where a chunk is alone, both numbers are its own.
    """
    last = layout.count(num_frames) - 1
    rows = []
    for time in range(num_frames):
        chunk = min(time // layout.stride, last)
        weight = layout.weight(chunk, time) if chunk < last else 1.0
        pair = (chunk, chunk + 1) if weight < 1 else (chunk, chunk)
        if chunk and layout.weight(chunk - 1, time) > 0:
            pair = (chunk - 1, chunk)
        places = [
            c * layout.decoded_frames + time - layout.start(c) + layout.blend_frames
            for c in pair
        ]
        fade = layout.weight(pair[0], time), layout.cut(pair[0], time)
        rows.append((*places, *fade))
    before, after, weights, cuts = zip(*rows, strict=True)
    return (
        *(np.array(x, "int32") for x in (before, after)),
        *(np.array(x, "float32") for x in (weights, cuts)),
    )


def _local_mean(frames):
    """Returns the mean over a square of a patch's size around every pixel.

    Args:
        frames: float tensor of shape `(B, T, H, W, 1)`.
    """
    side = SPATIAL_COMPRESSION
    shape = frames.shape
    padded = ops.reshape(frames, (-1, *shape[2:]))
    for axis in (1, 2):
        # TensorFlow cannot pad with the values of the edge.
        size = padded.shape[axis]
        places = np.arange(size + side - 1) - side // 2
        padded = ops.take(padded, np.clip(places, 0, size - 1), axis=axis)
    mean = ops.average_pool(padded, side, strides=1, data_format="channels_last")
    return ops.reshape(mean, (-1, *shape[1:]))
