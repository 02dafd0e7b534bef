import keras
import pytest

from keras_regen.models import DiTDecoder, Regen, VideoEncoder


def make_regen(k=4, dtype=None, **kwargs):
    """Builds a small model that compiles quickly."""
    decoder, encoder = kwargs.pop("decoder", {}), kwargs.pop("encoder", {})
    return Regen(
        VideoEncoder(
            k,
            **{
                "stem_patch_size": 4,
                "widths": (8,),
                "num_blocks": (1,),
                "kernel_sizes": ((1, 3, 3), (3, 1, 1)),
                **encoder,
            },
            dtype=dtype,
            name="encoder",
        ),
        DiTDecoder(
            k,
            **{
                "units": 16,
                "depth": 2,
                "num_heads": 2,
                "siren_features": 8,
                **decoder,
            },
            dtype=dtype,
            name="decoder",
        ),
        **kwargs,
    )


@pytest.fixture
def regen():
    keras.utils.set_random_seed(0)
    return make_regen()


def awaken(model):
    """Sets weights that are zero to random values, so that every input matters."""
    for i, variable in enumerate(model.trainable_variables):
        if not variable.numpy().any():
            noise = keras.random.normal(variable.shape, stddev=0.2, seed=i)
            variable.assign(noise)
    return model
