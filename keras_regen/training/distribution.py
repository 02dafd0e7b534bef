"""Training on more than one device, in one way on every backend.

    with distribution.scope():
        regen = Regen.from_architecture("small")
        regen.compile(optimizer=keras.optimizers.AdamW(1e-4))
        distribution.distribute(regen)
        regen.fit(clips)

JAX uses every device that it sees, TensorFlow every GPU, and PyTorch every process of
`torchrun`. With a single device or process nothing changes.
"""

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator

import keras
import numpy as np

from keras_regen.models import Regen

# If one of these variables is set, this process is one of several.
JAX_CLUSTER = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "KERAS_DISTRIBUTION_PROCESS_ID",
)


@contextlib.contextmanager
def scope(
    model_parallel: int = 1,
    get_layout_map: Callable[
        [keras.distribution.DeviceMesh], keras.distribution.LayoutMap
    ] = Regen.get_layout_map,
) -> Iterator[None]:
    """Distributes a `with` block, from building the model to the end of training.

    JAX distributes it over all devices, including those of other processes if the
    variables `KERAS_DISTRIBUTION_*` are set; TensorFlow over all GPUs, else over all
    logical CPUs; PyTorch over the processes of `torchrun`, each on its own GPU if there
    is one. Enter the block before anything runs on a device.

    Args:
        model_parallel: int. Devices that share one replica of the model, on JAX only.
            Defaults to `1`: every device has the whole model.
        get_layout_map: callable of a mesh with axes `batch` and `model`, which says how
            they share it. Defaults to `Regen.get_layout_map`.

    Raises:
        ValueError: if `model_parallel` does not fit the backend, devices or processes.
    """
    if model_parallel < 1:
        raise ValueError(
            "`model_parallel` must be at least 1. "
            f"Received: model_parallel={model_parallel}"
        )
    backend = keras.backend.backend()
    if model_parallel > 1 and backend != "jax":
        raise ValueError(
            f"Only JAX can share a model among devices, not the backend {backend}. "
            f"Received: model_parallel={model_parallel}"
        )
    if backend == "jax":
        devices = _jax_scope(model_parallel, get_layout_map)
    else:
        devices = _module().scope()
    with devices:
        yield


def distribute(model: keras.Model) -> None:
    """Makes the replicas of a model train in step, each with its own noise.

    Call it once, before `fit`, when the model is compiled and its weights are loaded.
    On JAX it does nothing, since the replicas are parts of one program.

    Args:
        model: a compiled `Regen`, `ConvAutoencoder` or `LatentDiffusion`, built within
            `scope`.

    Raises:
        ValueError: if the model is not compiled.
    """
    if not model.compiled:
        raise ValueError(
            "The model must be compiled before it is distributed. "
            f"Received: compiled={model.compiled}"
        )
    backend = keras.backend.backend()
    if num_replicas() == 1 or backend == "jax":
        return
    replicas = _module()
    replicas.train_in_step(model)
    for state in model.non_trainable_variables:
        if state.name == "seed_generator_state":
            _seed_replicas(state, replicas.replica_states(state))


def num_replicas() -> int:
    """Returns the number of parts of a batch, over all processes."""
    backend = keras.backend.backend()
    if backend == "jax":
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else distribution.num_model_replicas
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    return world_size()


def world_size() -> int:
    """Returns the number of processes that train. Each reads a share of the data."""
    return _process()[1]


def rank() -> int:
    """Returns this process's number, from 0, which selects its share of the data."""
    return _process()[0]


def is_chief() -> bool:
    """Whether this process is the one that writes files and prints progress."""
    return rank() == 0


def local_batch_size(batch_size: int) -> int:
    """Returns the batch size of this process's data.

    Args:
        batch_size: int. Samples in one step, over all replicas.

    Returns:
        int. This process's share on JAX and PyTorch; on TensorFlow the whole batch,
        which `tf.distribute` splits.

    Raises:
        ValueError: if the batch cannot be split into equal parts.
    """
    if batch_size < 1 or batch_size % num_replicas():
        raise ValueError(
            f"`batch_size` must be a multiple of the {num_replicas()} replicas that "
            f"share it. Received: batch_size={batch_size}"
        )
    if keras.backend.backend() == "tensorflow":
        return batch_size
    return batch_size // world_size()


# === Backends ===


@contextlib.contextmanager
def _jax_scope(model_parallel, get_layout_map):
    import jax

    cluster = any(name in os.environ for name in JAX_CLUSTER)
    if cluster and not jax.distributed.is_initialized():
        keras.distribution.initialize()
    devices = keras.distribution.list_devices()
    if model_parallel > 1 and jax.process_count() > 1:
        raise ValueError(
            "Keras cannot save weights that are spread over processes, so with "
            f"{jax.process_count()} processes each must have the whole model. "
            f"Received: model_parallel={model_parallel}"
        )
    if len(devices) % model_parallel:
        raise ValueError(
            f"`model_parallel` must divide the {len(devices)} devices. "
            f"Received: model_parallel={model_parallel}"
        )
    if len(devices) == 1:
        yield
        return
    if model_parallel == 1:
        distribution = keras.distribution.DataParallel(
            devices=devices, auto_shard_dataset=False
        )
    else:
        mesh = keras.distribution.DeviceMesh(
            (len(devices) // model_parallel, model_parallel),
            ("batch", "model"),
            devices,
        )
        distribution = keras.distribution.ModelParallel(
            layout_map=get_layout_map(mesh),
            batch_dim_name="batch",
            auto_shard_dataset=False,
        )
    with distribution.scope():
        yield


def _module():
    """Returns the module for the backend, which is not JAX."""
    is_torch = keras.backend.backend() == "torch"
    name = "torch_ddp" if is_torch else "tensorflow_mirrored"
    return importlib.import_module(f"keras_regen.training.{name}")


def _process():
    """Returns the rank of this process and the number of processes."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.process_index(), jax.process_count()
    if backend == "torch":
        import torch

        if torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _seed_replicas(state, replicas):
    """Gives the state of a seed generator a different seed in every replica."""
    seed, count = (int(value) for value in keras.ops.convert_to_numpy(state))
    for replica, variable in enumerate(replicas, start=rank() * len(replicas)):
        variable.assign([replica_seed(seed, replica), count])


def replica_seed(seed: int, replica: int) -> int:
    """Returns a replica's seed, from 0 to 2**31 - 1; the first replica keeps `seed`."""
    if replica == 0:
        return seed
    entropy = np.random.SeedSequence([seed % 2**64, replica])
    return int(entropy.generate_state(1)[0] >> 1)
