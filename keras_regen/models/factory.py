"""The choice of a model by the name of its architecture and the kind of its decoder."""

from typing import Any, cast, get_args

from keras_regen.models.conv_autoencoder import ConvAutoencoder
from keras_regen.models.dit_decoder import Conditioning
from keras_regen.models.regen import Regen
from keras_regen.types import Architecture, DecoderKind

# The conditioning of the DiT for each kind of decoder that generates.
CONDITIONINGS: dict[str, Conditioning] = {
    "dit": "content_aware",
    "in_context": "in_context",
}
DECODERS = get_args(DecoderKind)


def build_model(
    name: str,
    temporal_compression: int = 8,
    decoder: str = "dit",
    seed: int = 0,
    **kwargs: Any,
) -> Regen | ConvAutoencoder:
    """Builds an untrained model.

    Args:
        name: `"tiny"`, `"small"`, `"base"` or `"paper"`.
        temporal_compression: int. k, as for `Regen.from_architecture`. Defaults to `8`.
        decoder: `"dit"`; `"in_context"`, the DiT with the latents as extra tokens; or
            `"conv"`, the conventional decoder. Defaults to `"dit"`.
        seed: int. Seed of the times and the noise in training; `"conv"` ignores it.
            Defaults to `0`.
        **kwargs: `dtype`, `remat` and `regularization`, as for
            `Regen.from_architecture`.

    Returns:
        A `Regen`; a `ConvAutoencoder` for `"conv"`.

    Raises:
        ValueError: if an argument is not as above.

    Example:

    >>> build_model("tiny", temporal_compression=4, decoder="conv").is_generative
    False
    """
    if decoder not in DECODERS:
        raise ValueError(
            f"The decoders are {', '.join(DECODERS)}. Received: decoder={decoder!r}"
        )
    # Checked by `from_architecture`.
    known = cast("Architecture", name)
    if decoder == "conv":
        return ConvAutoencoder.from_architecture(known, temporal_compression, **kwargs)
    return Regen.from_architecture(
        known,
        temporal_compression,
        conditioning=CONDITIONINGS[decoder],
        seed=seed,
        **kwargs,
    )
