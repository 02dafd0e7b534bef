"""Encoding and decoding one chunk."""

import numpy as np

from keras_regen import diffusion
from keras_regen.models.input_checks import (
    check_chunk,
    check_latents,
    check_times,
)
from keras_regen.pixels import SPATIAL_COMPRESSION, to_uint8, to_unit_range


class Inference:
    """What a trained model does: the half of it that takes and gives arrays.

    `generate(latents, times, noise, num_steps)` is the subclass's.
    """

    def encode(self, video):
        """Encodes one chunk.

        Args:
            video: array of shape `(B, k + 1, H, W, 3)`, or `(B, 1, H, W, 3)` for
                images; float in [-1, 1] or uint8. H and W multiples of 8.

        Returns:
            float32 NumPy array of shape `(B, 2, H / 8, W / 8, C)`; `(B, 1, ...)` for
            images.

        Raises:
            ValueError: if the shape, dtype or range is not as above, or for NaNs.
        """
        video = np.asarray(video)
        check_chunk(video, self.temporal_compression)
        if video.dtype != "uint8":
            video = video.astype("float32")
        # Under `tf.distribute` every replica gives the whole batch.
        return self.encoder.predict_on_batch(to_unit_range(video))[: len(video)]

    def decode(
        self,
        latents,
        num_frames=None,
        times=None,
        num_steps=1,
        seed=0,
        noise_scale=1.0,
        origin=(0, 0, 0),
        dtype="float32",
    ):
        """Re-generates one chunk from its latents.

        The same latents, seed and steps give the same video.

        Args:
            latents: array of shape `(B, 2, h, w, C)`, or `(B, 1, h, w, C)` for images.
            num_frames: int or None. That many frames evenly spaced over the chunk.
                Defaults to its own `k + 1`, or 1 for images.
            times: float array of shape `(F,)`, or None. Instead of `num_frames`: the
                times to decode, in frames from the chunk's first. 0 to k are inside,
                fractions interpolate, others extrapolate.
            num_steps: int. Sampling steps. Defaults to `1`.
            seed: int. Seed of the noise canvas. Defaults to `0`.
            noise_scale: float. Standard deviation of the noise, 0 or more; 1 is what
                the model was trained with. Defaults to `1`.
            origin: tuple of int `(frame, row, column)`. Where in the whole video the
                chunk begins, which picks its place on the noise canvas, in frames and
                pixels. Defaults to `(0, 0, 0)`.
            dtype: `"float32"` for [-1, 1] or `"uint8"`. Defaults to `"float32"`.

        Returns:
            NumPy array of shape `(B, F, 8h, 8w, 3)`.

        Raises:
            ValueError: if an argument is not as above.
        """
        latents = np.asarray(latents)
        check_latents(latents, self.encoder.latent_channels)
        if dtype not in ("float32", "uint8"):
            raise ValueError(
                f'`dtype` must be "float32" or "uint8". Received: dtype={dtype}'
            )
        sampling = diffusion.Sampling(num_steps, seed, noise_scale)
        times = self._decoding_times(latents, num_frames, times)
        batch, _, rows, columns, _ = latents.shape
        height, width = rows * SPATIAL_COMPRESSION, columns * SPATIAL_COMPRESSION
        frame, row, column = origin
        noise = sampling.noise(
            times + frame, (row, row + height), (column, column + width)
        )
        video = self.generate(
            latents,
            np.broadcast_to(times, (batch, len(times))),
            np.broadcast_to(noise, (batch, *noise.shape)),
            num_steps,
        )
        return to_uint8(video) if dtype == "uint8" else video

    def reconstruct(self, video, num_steps=1, seed=0, origin=(0, 0, 0)):
        """Encodes one chunk and re-generates it.

        Args:
            video: as for `encode`.
            num_steps: int. Sampling steps. Defaults to `1`.
            seed: int. Seed of the noise canvas. Defaults to `0`.
            origin: as for `decode`.

        Returns:
            NumPy array of the video's shape: uint8 for uint8, else float32 in [-1, 1].
        """
        video = np.asarray(video)
        dtype = "uint8" if video.dtype == "uint8" else "float32"
        return self.decode(
            self.encode(video),
            num_steps=num_steps,
            seed=seed,
            origin=origin,
            dtype=dtype,
        )

    def _decoding_times(self, latents, num_frames, times):
        if times is not None and num_frames is not None:
            raise ValueError(
                "Give `num_frames` or `times`, not both. "
                f"Received: num_frames={num_frames}, times={times}"
            )
        if times is not None:
            return check_times(times)
        last = self.temporal_compression if latents.shape[1] == 2 else 0
        if num_frames is None:
            num_frames = last + 1
        if num_frames < 1:
            raise ValueError(
                f"`num_frames` must be at least 1. Received: num_frames={num_frames}"
            )
        return np.linspace(0.0, last, num_frames)
