"""The encoder and the decoder as pure functions of weights and tensors."""

import keras

from keras_regen.models import generate


class ModelFunctions:
    """The two functions that every format exports, traceable on each backend.

    Weights are arguments, so that a format can store them differently from the model.

    Args:
        regen: a `Regen`.
    """

    def __init__(self, regen):
        self.model = regen
        self.encoder_variables = regen.encoder.variables
        self.decoder_variables = regen.decoder.variables

    def encode(self, weights, video):
        """Encodes chunks.

        Args:
            weights: sequence of tensors, the values of `encoder_variables`.
            video: float32 tensor of shape `(B, k + 1, H, W, 3)` or `(B, 1, H, W, 3)`.

        Returns:
            float32 tensor of shape `(B, 2, H / 8, W / 8, C)` or `(B, 1, ...)`.
        """
        with _weights(self.encoder_variables, weights):
            return self.model.encoder(video, training=False)

    def decode(self, weights, latents, times, noise, num_steps):
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
        with _weights(self.decoder_variables, weights):
            return generate(
                self.model.decoder,
                self.model.diffusion_path,
                self.model.prediction,
                latents,
                times,
                noise,
                num_steps,
            )


def _weights(variables, values):
    """Returns a scope in which variables have the given values."""
    pairs = zip(variables, values, strict=True)
    return keras.StatelessScope(state_mapping=list(pairs))
