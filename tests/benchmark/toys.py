"""What tests of benchmarks time."""

from keras_regen.models import DiTDecoder, Regen, VideoEncoder

K = 4
# Few convolutions: a training step of them is compiled.
ENCODER = {"stem_patch_size": 8, "widths": (8,), "num_blocks": (1, 0)}
DECODER = {"units": 32, "depth": 1, "num_heads": 2, "siren_features": 8}


def toy(encoder=None, decoder=None):
    """A model that takes milliseconds."""
    return Regen(
        VideoEncoder(K, **{**ENCODER, **(encoder or {})}),
        DiTDecoder(K, **{**DECODER, **(decoder or {})}),
    )
