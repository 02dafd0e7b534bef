"""The encoder and the decoder as pure functions of weights and tensors."""

from collections.abc import Sequence

from keras import ops

from keras_regen.diffusion import DEFAULT_SCHEDULE, CanvasArea, draw_noise, sample
from keras_regen.models import Regen, finish, predictor, with_values
from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.types import Tensor


class ModelFunctions:
    """The functions that are exported, traceable on each backend.

    Weights are arguments, so that a format can store them differently from the model.

    Args:
        regen: a `Regen`.
        schedule: as for `Regen.decode`.
    """

    def __init__(self, regen: Regen, schedule: str = DEFAULT_SCHEDULE) -> None:
        self.model = regen
        self.schedule = schedule
        self.encoder_variables = regen.encoder.variables
        self.decoder_variables = regen.decoder.variables

    def encode(self, weights: Sequence[Tensor], video: Tensor) -> Tensor:
        """Encodes chunks.

        Args:
            weights: sequence of tensors, the values of `encoder_variables`.
            video: float32 tensor of shape `(B, k + 1, H, W, 3)` or `(B, 1, H, W, 3)`.

        Returns:
            float32 tensor of shape `(B, 2, H / 8, W / 8, C)` or `(B, 1, ...)`.
        """
        with with_values(self.encoder_variables, weights):
            return self.model.encoder(video, training=False)

    def decode(
        self,
        weights: Sequence[Tensor],
        latents: Tensor,
        times: Tensor,
        noise: Tensor,
        num_steps: int | Tensor,
    ) -> Tensor:
        """Decodes chunks.

        Args:
            weights: sequence of tensors, the values of `decoder_variables`.
            latents: float32 tensor of shape `(B, 2, h, w, C)` or `(B, 1, h, w, C)`.
            times: float32 tensor of shape `(B, F)`, in frames.
            noise: float32 tensor of shape `(B, F, 8h, 8w, 3)`.
            num_steps: int or int tensor of shape `(B,)`. Sampling steps. An int
                unrolls them in the graph, a tensor makes a loop.

        Returns:
            float32 tensor of shape `(B, F, 8h, 8w, 3)`, in [-1, 1].
        """
        return self._decode(weights, latents, times, noise, num_steps)[0]

    def decode_on_canvas(
        self,
        weights: Sequence[Tensor],
        latents: Tensor,
        times: Tensor,
        words: Tensor,
        num_steps: int | Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Decodes chunks from the noise at row and column 0 of the canvas.

        Args:
            weights: as for `decode`.
            latents: as for `decode`.
            times: as for `decode`.
            words: int32 tensor of shape `(B, F, 4)`, as `diffusion.CanvasArea` has.
            num_steps: as for `decode`.

        Returns:
            Pair of the video, as for `decode`, and a bool tensor of shape `(B,)`:
            whether it was finite before it was clipped.
        """
        batch, _, rows, columns, _ = ops.shape(latents)
        area = CanvasArea(words, ops.zeros((batch, 2), "int32"), ops.ones((batch,)))
        noise = draw_noise(
            area, rows * SPATIAL_COMPRESSION, columns * SPATIAL_COMPRESSION
        )
        return self._decode(weights, latents, times, noise, num_steps)

    def _decode(self, weights, latents, times, noise, num_steps):
        with with_values(self.decoder_variables, weights):
            video = sample(
                predictor(self.model.decoder, latents, times),
                noise,
                self.model.diffusion_path,
                self.model.prediction,
                num_steps,
                self.schedule,
            )
        return finish(video)
