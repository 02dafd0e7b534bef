"""Trains as one of two processes of torchrun, or alone."""

import os
import sys

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np

from keras_regen.training import distribution
from tests.training.toy import (
    BATCH,
    Clips,
    LatentBatches,
    toy_generator,
    toy_regen,
    train,
)


def main(folder):
    with distribution.scope():
        rank, size = distribution.rank(), distribution.world_size()
        assert size == distribution.num_replicas() == int(os.environ["WORLD_SIZE"])
        assert distribution.local_batch_size(BATCH) == BATCH // size
        assert distribution.is_chief() == (rank == 0)

        regen = toy_regen(noise=False)
        if rank == 1:
            # Training must start from the weights of the first process.
            regen.set_weights([0.5 * weight for weight in regen.get_weights()])
        out = train(regen, Clips(rank, size))
        np.savez(f"{folder}/{size}_{rank}.npz", **out)

        draw = keras.random.normal((8,), seed=regen.seed_generator)
        np.save(f"{folder}/{size}_{rank}_draw.npy", keras.ops.convert_to_numpy(draw))

        # Half precision, with scaled losses.
        half = toy_regen("mixed_float16", noise=False)
        out = train(half, Clips(rank, size))
        np.savez(f"{folder}/{size}_{rank}_half.npz", **out)

        out = train(toy_generator(), LatentBatches(rank, size))
        np.savez(f"{folder}/{size}_{rank}_generator.npz", **out)


if __name__ == "__main__":
    main(sys.argv[1])
