import keras
import numpy as np

from keras_regen.generation import LatentDiffusion, LatentTransformer
from tests.models.conftest import awaken


def make_generator(dtype=None, transformer=None, **kwargs):
    """Builds a small generator, by default of two labels, whose inputs all matter."""
    keras.utils.set_random_seed(0)
    conditioned = {"num_labels": 2, **(transformer or {})}
    transformer = LatentTransformer(
        **{"units": 32, "depth": 1, "num_heads": 2, **conditioned}, dtype=dtype
    )
    statistics = {"mean": np.full((2, 8), 5.0), "std": np.full((2, 8), 2.0)}
    return awaken(LatentDiffusion(transformer, 4, **{**statistics, **kwargs}))
