import keras
import numpy as np

from keras_regen.codec import VideoCodec
from keras_regen.generation import (
    GenerationDefaults,
    LatentDiffusion,
    LatentTransformer,
    VideoGenerator,
)
from keras_regen.models import Regen
from keras_regen.text import TextEmbeddings
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


def make_text_generator(preset, *defaults, **more_defaults):
    """Builds a small generator of a codec's preset that knows two texts.

    The arguments after the preset are those of `GenerationDefaults`.
    """
    codec = VideoCodec(Regen.from_preset(preset))
    model = make_generator(
        transformer={"num_labels": None, "text_channels": 6},
        encoder_id=codec.encoder_id,
    )
    texts = TextEmbeddings(["a two", "a three"], np.ones((5, 6)), [2, 3], "an encoder")
    return VideoGenerator(
        model, codec, texts, GenerationDefaults(*defaults, **more_defaults)
    )
