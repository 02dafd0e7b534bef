"""Trains on one of two CPU devices, then on both."""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

from keras_regen.training import distribution
from tests.training.toy import (
    Clips,
    LatentBatches,
    toy_generator,
    toy_regen,
    train,
)


def main(folder):
    cpu = tf.config.list_physical_devices("CPU")[0]
    configuration = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, configuration)

    np.savez(f"{folder}/single.npz", **train(toy_regen(noise=False), Clips()))
    latents = LatentBatches()
    np.savez(f"{folder}/generator.npz", **train(toy_generator(), latents))
    with distribution.scope():
        assert distribution.num_replicas() == 2
        assert distribution.local_batch_size(8) == 8
        regen = toy_regen(noise=False)
        np.savez(f"{folder}/data.npz", **train(regen, Clips()))

        strategy = tf.distribute.get_strategy()
        draws = strategy.run(
            lambda: keras.random.normal((8,), seed=regen.seed_generator)
        )
        draws = strategy.experimental_local_results(draws)
        np.savez(f"{folder}/draws.npz", *[draw.numpy() for draw in draws])

        out = train(toy_generator(), latents)
        np.savez(f"{folder}/data_generator.npz", **out)

        # The number of replicas does not change the shapes.
        clips = Clips()[0][:1]
        assert regen.encode(clips).shape == (1, 2, 2, 2, 8)
        assert regen.reconstruct(clips).shape == clips.shape


if __name__ == "__main__":
    main(sys.argv[1])
