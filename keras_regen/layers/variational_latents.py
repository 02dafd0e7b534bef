"""Variational latents."""

from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class VariationalLatents(ConfiguredLayer):
    """Takes latents from normal distributions that stay close to the standard one.

    In training the latents are drawn from the distribution that the moments describe,
    and its divergence from the standard normal distribution is added to the loss.
    Otherwise they are its mean, so encoding is a function of the video.

    Args:
        kl_weight: float. Weight of the mean divergence of a latent value.
            Defaults to `1e-5`.

    Input shape:
        `(..., 2C)`: means, then logarithms of variances.

    Output shape:
        `(..., C)`.

    Example:

    >>> latents = VariationalLatents()(keras.ops.ones((1, 2, 4, 4, 16)))
    >>> tuple(latents.shape)
    (1, 2, 4, 4, 8)

    Reference:
        Kingma and Welling 2014, *Auto-Encoding Variational Bayes*, appendix B; Rombach
        et al. 2022, *High-Resolution Image Synthesis with Latent Diffusion Models*,
        appendix G.
    """

    def __init__(self, kl_weight: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kl_weight = kl_weight
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, moments: Tensor, training: bool | None = None) -> Tensor:
        mean, log_variance = ops.split(moments, 2, axis=-1)
        if not training:
            return mean
        log_variance = ops.clip(log_variance, -30.0, 20.0)
        variance = ops.exp(log_variance)
        divergence = 0.5 * (ops.square(mean) + variance - 1.0 - log_variance)
        self.add_loss(self.kl_weight * ops.mean(divergence))
        noise = keras.random.normal(
            ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator
        )
        return mean + ops.exp(0.5 * log_variance) * noise

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], input_shape[-1] // 2)
