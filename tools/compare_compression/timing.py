"""CPU seconds of what is repeated."""

import time

import keras
import numpy as np

from keras_regen.training import GradientGuard
from tools.compare_compression.settings import SIDE

ROUNDS = 4
# Videos that are sampled at once.
VIDEOS = 8


def fastest(calls):
    """Returns the CPU seconds of each call: those of the fastest of some rounds.

    In a round all calls take turns, so that another load meets all of them.
    """
    for call in calls:
        call()
    rounds = [[_seconds(call) for call in calls] for _ in range(ROUNDS)]
    return np.min(rounds, axis=0).tolist()


def generator_calls(model, settings, texts):
    """Returns two calls: of a training step, and of a sampling step of `VIDEOS`.

    Args:
        model: an untrained `LatentDiffusion`.
        settings: `Settings`.
        texts: `TextEmbeddings`. Only their shape matters.
    """
    model.compile(GradientGuard(keras.optimizers.AdamW(1e-3, use_ema=True)))
    rng = np.random.default_rng(0)
    chunks = settings.chunks(model.temporal_compression)

    def condition(count):
        mask = np.ones((count, texts.max_length), "bool")
        text = rng.normal(size=(*mask.shape, texts.channels)).astype("float32")
        return {"text": text, "text_mask": mask}

    shape = (settings.batch_size, 2 * chunks, SIDE, SIDE)
    latents = rng.normal(size=(*shape, model.transformer.latent_channels))
    batch = {"latents": latents.astype("float32"), **condition(settings.batch_size)}
    batch = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
    asked = condition(VIDEOS)
    return [
        lambda: model.train_on_batch(batch),
        lambda: model.generate(
            *(chunks, (SIDE, SIDE), range(VIDEOS)),
            num_steps=1,
            guidance=settings.guidance,
            **asked,
        ),
    ]


def _seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start
