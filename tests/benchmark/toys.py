"""A model for tests of benchmarks."""

from keras_regen.models import DiTDecoder, Regen, VideoEncoder

K = 4
# Few convolutions, so that a training step compiles quickly.
ENCODER = {"stem_patch_size": 8, "widths": (8,), "num_blocks": (1, 0)}
DECODER = {"units": 32, "depth": 1, "num_heads": 2, "siren_features": 8}


def toy(encoder=None, decoder=None):
    """Makes a model that runs in milliseconds."""
    return Regen(
        VideoEncoder(K, **{**ENCODER, **(encoder or {})}),
        DiTDecoder(K, **{**DECODER, **(decoder or {})}),
    )
