"""A model of ramps, which are decoded exactly however they are cut."""

import types

import numpy as np

from keras_regen.pixels import to_unit_range

PER_FRAME, PER_PIXEL = 0.01, 0.004


def ramp(times, height, width):
    """float32 video, linear in time and space, of shape `(len(times), H, W, 3)`."""
    t, y, x = np.meshgrid(times, np.arange(height), np.arange(width), indexing="ij")
    values = -0.7 + PER_FRAME * t + PER_PIXEL * (y + x)
    return np.repeat(values[..., None], 3, axis=-1).astype("float32")


class RampModel:
    """Replaces a `Regen`: keeps one pixel of a patch and rebuilds the ramp from it.

    `decoded` lists the shapes and times that it was asked to decode.
    """

    preset = "ramps"
    is_generative = True

    def __init__(self, k):
        self.temporal_compression = k
        self.encoder = types.SimpleNamespace(
            temporal_compression=k,
            latent_channels=8,
            stem_patch_size=8,
            layers=[],
            context=0,
            fingerprint=lambda: "0123456789abcdef",
        )
        self.decoder = types.SimpleNamespace(
            is_convolutional=False,
            units=8,
            mlp_ratio=4,
            num_heads=1,
            compute_dtype="float32",
            get_weights=list,
        )
        self.decoded = []

    def encode(self, chunks):
        assert chunks.shape[1] == self.temporal_compression + 1
        corners = chunks[:, :1, ::8, ::8, :1]
        return np.tile(corners, (1, 2, 1, 1, 8)).astype("float32")

    def decode_chunks(self, latents, times, noise, num_steps, schedule):
        batch, _, rows, columns, _ = latents.shape
        shape = (batch, times.shape[1], 8 * rows, 8 * columns, 3)
        if isinstance(noise, np.ndarray):
            assert noise.shape == shape
        else:
            assert noise.words.shape == (*shape[:2], 4)
            assert noise.corners.shape == (batch, 2)
            noise = 0.0
        self.decoded.append((shape, np.array(times)))
        y, x = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
        within = np.tile(PER_PIXEL * (y + x), latents.shape[2:4])
        corners = latents[:, 0, :, :, 0].repeat(8, axis=1).repeat(8, axis=2)
        frames = corners[:, None] + within + PER_FRAME * times[:, :, None, None]
        return np.repeat(frames[..., None], 3, axis=-1).astype("float32") + noise

    def invert_chunks(
        self, latents, times, video, num_steps, refinements, schedule="log_snr"
    ):
        zero = np.zeros(video.shape, "float32")
        decoded = self.decode_chunks(latents, times, zero, num_steps, schedule)
        return to_unit_range(video) - decoded
