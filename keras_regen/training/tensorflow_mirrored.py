"""Data parallelism on TensorFlow."""

import contextlib
import os

import tensorflow as tf


@contextlib.contextmanager
def all_devices():
    """The scope of all GPUs, else of all logical CPUs; none for one device."""
    if "TF_CONFIG" in os.environ:
        raise ValueError(
            "With TensorFlow, Keras trains on the devices of one machine; JAX and "
            "PyTorch go over several. "
            f"Received: TF_CONFIG={os.environ['TF_CONFIG']}"
        )
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        yield
        return
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    with strategy.scope():
        yield


def train_in_step(model):
    """Has the model's optimiser see the gradient of the whole batch.

    Keras sums the gradients of the replicas last, when each has clipped its own, and
    when a step has been taken or skipped by what is finite in the first. Here they are
    summed first.
    """
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    apply, sum_replicas = optimizer.apply, inner._all_reduce_sum_gradients

    def apply_sum(gradients, variables):
        pairs = sum_replicas(zip(gradients, variables, strict=True))
        apply([gradient for gradient, _ in pairs], variables)

    optimizer.apply = apply_sum
    inner._all_reduce_sum_gradients = lambda pairs: pairs


def replica_states(state):
    """The variables that a seed generator's state is mirrored to.

    Each replica reads and counts its own.
    """
    return tf.distribute.get_strategy().experimental_local_results(state.value)
