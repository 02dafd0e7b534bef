"""The model, data and training of the workers in the distribution tests."""

import keras
import numpy as np

from keras_regen.diffusion import UniformTimes
from keras_regen.generation import LatentDiffusion, LatentTransformer
from keras_regen.models import DiTDecoder, Regen, VideoEncoder
from keras_regen.training import GradientGuard, distribution
from tests.test_case import random

BATCH, STEPS = 8, 3


def toy_regen(dtype=None, noise=True):
    """Makes a tiny model whose axes can all be divided among four devices.

    Args:
        dtype: dtype policy.
        noise: bool. Without it t is always 1 and the decoder ignores the noisy video,
            so that the loss depends only on the clips.
    """
    keras.utils.set_random_seed(0)
    encoder = VideoEncoder(
        2, stem_patch_size=4, widths=(8,), num_blocks=(1,), dtype=dtype, name="encoder"
    )
    decoder = DiTDecoder(
        2,
        units=16,
        depth=1,
        num_heads=4,
        siren_features=8,
        dtype=dtype,
        name="decoder",
    )
    regen = Regen(encoder, decoder, time_distribution=UniformTimes(0.5 if noise else 1))
    _awaken(regen)
    if not noise:
        embedding = decoder.get_layer("patch_embedding")
        embedding.projection.kernel.assign(np.zeros((192, 16)))
        embedding.trainable = False
    return regen


def toy_generator():
    """Makes a tiny generator, whose loss depends only on the latents and the labels.

    t is always 1, the transformer ignores the noise, and predicts the latents.
    """
    keras.utils.set_random_seed(0)
    transformer = LatentTransformer(units=64, depth=1, num_heads=4, num_labels=3)
    model = LatentDiffusion(
        transformer,
        2,
        prediction="sample",
        time_distribution=UniformTimes(1),
        drop_condition=0.0,
        given_share=0.0,
    )
    _awaken(model)
    embedding = transformer.get_layer("latent_embedding")
    for layer in (embedding.content, embedding.motion):
        layer.kernel.assign(np.zeros((8, 64)))
    embedding.trainable = False
    return model


def _awaken(model):
    """Makes weights random that start at zero and would make most gradients zero."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if not variable.numpy().any():
            variable.assign(rng.normal(0, 0.2, variable.shape))


class Clips(keras.utils.PyDataset):
    """A process's share of `STEPS` batches of clips, all different.

    The last clip of the second batch is NaN, so that step must be skipped.
    """

    def __init__(self, rank=0, world_size=1):
        super().__init__()
        # Each clip is brighter than the last, so that half a batch has another gradient
        # than the whole.
        scale = np.linspace(0.1, 1.0, BATCH * STEPS).reshape(-1, 1, 1, 1, 1)
        clips = (scale * random(BATCH * STEPS, 3, 16, 16, 3)).astype("float32")
        clips[2 * BATCH - 1] = np.nan
        batches = np.split(clips, STEPS)
        self.batches = [np.split(batch, world_size)[rank] for batch in batches]

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        return self.batches[index]


class LatentBatches(Clips):
    """The same, as latents and labels."""

    def __init__(self, rank=0, world_size=1):
        super().__init__(rank, world_size)
        self.rank = rank

    def __getitem__(self, index):
        clips = super().__getitem__(index)
        latents = clips[:, :2, :2, :2, :1] * np.linspace(1, 2, 8, dtype="float32")
        places = self.rank * len(clips) + np.arange(len(clips), dtype="int32")
        return ({"latents": latents, "label": places % 3},)


class Losses(keras.callbacks.Callback):
    """Records the loss of every step."""

    def on_train_begin(self, logs=None):
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])
        self.model.reset_metrics()


def optimizer(scale=1.0):
    """Makes an optimiser that clips the global norm and skips NaN gradients.

    Epsilon is large, since the sign of a gradient near zero is arbitrary.
    """
    adamw = keras.optimizers.AdamW(
        1e-2, epsilon=1e-3, global_clipnorm=0.1, use_ema=True, ema_momentum=0.5
    )
    return GradientGuard(adamw, scale)


def train(regen, clips):
    """Compiles, distributes and trains a model.

    Returns:
        Dict of the losses, an array, and the weights by their paths.
    """
    before = [v.numpy().copy() for v in regen.trainable_variables]
    half = regen.dtype_policy.name == "mixed_float16"
    regen.compile(optimizer=optimizer(2.0**15 if half else 1.0))
    distribution.distribute(regen)
    losses = Losses()
    regen.fit(clips, callbacks=[losses], shuffle=False, verbose=0)
    weights = {v.path: v.numpy() for v in regen.trainable_variables}
    for old, new in zip(before, weights.values(), strict=True):
        assert np.any(old != new)
    return {"losses": np.array(losses.values), **weights}
