"""Trains on one of eight CPU devices, on all of them, and on 2x4 that share weights."""

import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
)

import numpy as np

from keras_regen.generation import LatentTransformer
from keras_regen.training import distribution
from tests.training.toy import (
    Clips,
    LatentBatches,
    toy_generator,
    toy_regen,
    train,
)


def shardings(regen):
    """Returns the shape of a shard of each weight; slots must be sharded equally."""
    slots = regen.optimizer.inner_optimizer
    found = {}
    for variable, *others in zip(
        regen.trainable_variables,
        slots._momentums,
        slots._velocities,
        slots._model_variables_moving_average,
        strict=True,
    ):
        spec = variable.value.sharding.spec
        assert all(other.value.sharding.spec == spec for other in others)
        found[variable.path] = np.array(variable.value.addressable_shards[0].data.shape)
    return found


def main(folder):
    np.savez(f"{folder}/single.npz", **train(toy_regen(), Clips()))
    for name, model_parallel, replicas in (("data", 1, 8), ("model", 4, 2)):
        with distribution.scope(model_parallel):
            assert distribution.num_replicas() == replicas
            assert distribution.local_batch_size(8) == 8
            regen = toy_regen()
            np.savez(f"{folder}/{name}.npz", **train(regen, Clips()))
            clips = Clips()[0][:1]
            assert regen.encode(clips).shape == (1, 2, 2, 2, 8)
        np.savez(f"{folder}/{name}_shards.npz", **shardings(regen))
    np.savez(f"{folder}/generator.npz", **train(toy_generator(), LatentBatches()))
    with distribution.scope(4, LatentTransformer.get_layout_map):
        generator = toy_generator()
        out = train(generator, LatentBatches())
        np.savez(f"{folder}/model_generator.npz", **out)
        latents = generator.generate(1, (2, 2), [0], label=[1], num_steps=1)
        assert latents.shape == (1, 2, 2, 2, 8)
    np.savez(f"{folder}/generator_shards.npz", **shardings(generator))


if __name__ == "__main__":
    main(sys.argv[1])
