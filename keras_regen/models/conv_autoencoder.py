"""REGEN's encoder with a conventional decoder."""

from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_regen.checks import suggest_arguments
from keras_regen.models.architectures import architecture, conv_decoder_architecture
from keras_regen.models.conv_decoder import ConvDecoder
from keras_regen.models.video_autoencoder import VideoAutoencoder
from keras_regen.models.video_encoder import Regularization, VideoEncoder
from keras_regen.pixels import to_unit_range
from keras_regen.types import Architecture, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class ConvAutoencoder(VideoAutoencoder):
    """A video autoencoder with a convolutional decoder, to compare REGEN with.

    The encoder and the latents are the same as in `Regen`; the decoder, a
    `ConvDecoder`, maps the latents directly to the frames. The mean squared error is
    the only loss. `fit(clips)`, `encode`, `decode`, `VideoCodec` and presets work as
    for `Regen`, but only the frames that were encoded can be decoded, in one pass
    without noise: `num_steps` and `seed` make no difference.

    Args:
        encoder: a `VideoEncoder`.
        decoder: a `ConvDecoder` of the same compression.

    Call arguments:
        video: as for `Regen`.

    Returns:
        Latents, as for `Regen`.

    Example:

    >>> model = ConvAutoencoder.from_architecture("tiny", temporal_compression=4)
    >>> latents = model.encode(np.zeros((1, 5, 16, 24, 3)))
    >>> model.decode(latents).shape
    (1, 5, 16, 24, 3)

    Reference:
        Yu et al. 2023, *Language Model Beats Diffusion: Tokenizer is Key to Visual
        Generation* (MAGVIT-v2); the baseline of Zhang et al. 2025, *REGEN*, table 1.
    """

    decoder: ConvDecoder

    @classmethod
    @suggest_arguments
    def from_architecture(
        cls,
        name: Architecture,
        temporal_compression: int = 8,
        dtype: str | keras.DTypePolicy | None = None,
        remat: bool = False,
        regularization: Regularization | None = None,
    ) -> Self:
        """Builds an untrained model about as large as the `Regen` of that name.

        Args:
            name: `"tiny"`, `"small"`, `"base"` or `"paper"`.
            temporal_compression: int. k: 4, 8, 16 or 32. Defaults to `8`.
            dtype: as for `Regen.from_architecture`.
            remat: as for `Regen.from_architecture`.
            regularization: as for `Regen.from_architecture`.

        Raises:
            ValueError: if there is no such architecture.
        """
        common: dict[str, Any] = {
            "temporal_compression": temporal_compression,
            "dtype": dtype,
            "remat": remat,
        }
        decoder = ConvDecoder(
            **conv_decoder_architecture(name, temporal_compression),
            **common,
            name="decoder",
        )
        encoder = VideoEncoder(
            **architecture(name)["encoder"],
            **common,
            regularization=regularization,
            name="encoder",
        )
        return cls(encoder, decoder)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Computes the mean squared error of the decoded chunk.

        Args:
            x: the chunk, as for `call`.
            y: None, or the target frames, of the shape of the chunk. Defaults to the
                chunk itself.
            y_pred: the latents, from `call`.
            sample_weight: None, or float tensor of shape `(B,)` or `(B, 1)`.
            training: bool.

        Returns:
            Scalar, float32, as for `Regen.compute_loss`.
        """
        target = ops.convert_to_tensor(to_unit_range(x if y is None else y), "float32")
        output = self.decoder(y_pred, training=training)
        if isinstance(target.shape[1], int) and target.shape[1] != output.shape[1]:
            raise ValueError(
                "A convolutional decoder can be trained on the frames of the chunk "
                f"alone: the targets must have its shape. Received: x.shape={x.shape}, "
                f"y.shape={y.shape}"
            )
        losses = ops.mean(ops.square(output - target), axis=(1, 2, 3, 4))
        return self._mean_loss(losses, sample_weight)

    def _decoding_inputs(self, num_latents, times, area, num_steps):
        last = self.temporal_compression if num_latents == 2 else 0
        times = np.asarray(times)
        if times.shape[1:] != (last + 1,) or np.any(times != np.arange(last + 1)):
            raise ValueError(
                "A convolutional decoder decodes the frames that were encoded, at the "
                f"times 0 to {last}. Received: times={times[0].tolist()}"
            )
        return {}

    def _decode_tensors(self, latents, inputs):
        return self.decoder(latents, training=False)
