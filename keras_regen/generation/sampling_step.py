"""One step of sampling latents."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_regen import diffusion
from keras_regen.checks import MAX_STEPS, check_real, check_whole
from keras_regen.generation.conditions import conditions
from keras_regen.generation.latent_transformer import LatentTransformer
from keras_regen.types import Tensor

# Normal numbers of the noise canvas at one place.
_CANVAS_CHANNELS = 3


class SamplingStep(keras.Model):
    """A model of one sampling step, for its backend to compile.

    Args:
        transformer: a `LatentTransformer`.
        path: a `diffusion.Path`.
        prediction: a `diffusion.Prediction`.

    Call arguments:
        inputs: dict of
            `latents`: float32 tensor of shape `(B, 2n, h, w, C)`, x_t, normalised;
            `t` and `next_t`: float32 tensors of shape `(B,)`;
            `given`: float32 tensor of shape `(B, 2n)`, 1 for frames that are given;
            `times`: as for `LatentTransformer`;
            the condition, if the transformer has one, and with it, optionally,
            `guidance`: float32 tensor of shape `(B,)`.

    Output shape:
        `(B, 2n, h, w, C)`, float32: the latents at `next_t`.
    """

    def __init__(
        self,
        transformer: LatentTransformer,
        path: diffusion.Path,
        prediction: diffusion.Prediction,
    ) -> None:
        super().__init__(name="generation", dtype="float32")
        self.transformer = transformer
        self._path = path
        self._prediction = prediction
        # The weights exist already. Times must stay float32.
        self.built = True
        self.autocast = False

    def call(self, inputs: Mapping[str, Tensor]) -> Tensor:
        x, given = inputs["latents"], inputs["given"]
        keep = ops.ones_like(inputs["t"], dtype="bool")
        call = {
            "latents": x,
            "timestep": inputs["t"][:, None] * (1.0 - given),
            "times": inputs["times"],
        }
        if "guidance" in inputs:
            output = self._guided(call, inputs, keep)
        else:
            output = self._predict(
                {**call, **conditions(self.transformer, inputs, keep)}
            )
        t, next_t = (
            inputs[name][:, None, None, None, None] for name in ("t", "next_t")
        )
        clean, noise = self._prediction.solve(self._path, output, x, t)
        stepped = self._path.interpolate(clean, noise, next_t)
        return ops.where(given[..., None, None, None] > 0, x, stepped)

    def _guided(self, call, inputs, keep):
        """Calls the transformer with and without the condition, as one batch."""
        with_it = {**call, **conditions(self.transformer, inputs, keep)}
        without = {
            **call,
            **conditions(self.transformer, inputs, ops.logical_not(keep)),
        }
        output = self._predict(
            {name: ops.concatenate([with_it[name], without[name]]) for name in with_it}
        )
        conditional, unconditional = ops.split(output, 2)
        guidance = inputs["guidance"][:, None, None, None, None]
        return unconditional + guidance * (conditional - unconditional)

    def _predict(self, inputs):
        return self.transformer(inputs, training=False)


# What sampling starts from and goes through, for NumPy and for graphs.


def whole_patches(size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Returns rows and columns of whole patches of the transformer."""
    rows, columns = (-(-side // patch_size) * patch_size for side in size)
    return rows, columns


def check_sampling(num_steps: int, guidance: float, time_shift: float) -> None:
    """Raises ValueError for arguments that `LatentDiffusion.generate` does not take."""
    check_whole(1, MAX_STEPS, num_steps=num_steps)
    check_real(0, 1e6, guidance=guidance)
    check_real(1e-6, 1e6, time_shift=time_shift)


def shifted_times(
    prediction: diffusion.Prediction, num_steps: int, time_shift: float
) -> np.ndarray:
    """Returns the diffusion times before, between and after the steps."""
    left = np.linspace(1.0, 0.0, num_steps + 1)
    # No time is beyond `max_time`, where the sample cannot be solved for.
    return prediction.max_time * time_shift * left / (1.0 + (time_shift - 1.0) * left)


def latent_times(frames: Any, temporal_compression: int) -> Any:
    """Returns where latent frames are: content first, motion in the middle.

    Args:
        frames: array of numbers of latent frames.
        temporal_compression: int. k.
    """
    return (temporal_compression + 1) / 2 * frames


def canvas_columns(columns: int, channels: int) -> int:
    """Returns the columns of the noise canvas that columns of latents take."""
    return columns * -(-channels // _CANVAS_CHANNELS)


def from_canvas(xp: Any, canvas: Any, channels: int) -> Any:
    """Returns noise of the canvas as noise of latents: each value its own.

    Args:
        xp: NumPy or `keras.ops`.
        canvas: float array of shape `(N, rows, canvas_columns(columns, channels), 3)`.
        channels: int. C.

    Returns:
        float array of shape `(N, rows, columns, C)`.
    """
    rows, columns = canvas.shape[1:3]
    places = canvas_columns(1, channels)
    shape = (-1, rows, columns // places, places * _CANVAS_CHANNELS)
    return xp.reshape(canvas, shape)[..., :channels]
