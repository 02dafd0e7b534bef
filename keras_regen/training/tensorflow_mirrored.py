"""Data parallelism over the devices of one machine, on TensorFlow."""

import contextlib
import os

import tensorflow as tf


@contextlib.contextmanager
def scope():
    """Distributes a `with` block over the GPUs, or without any the logical CPUs."""
    if "TF_CONFIG" in os.environ:
        raise ValueError(
            "On TensorFlow, Keras trains on the devices of one machine; JAX and "
            "PyTorch can train on several machines. "
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
    """Makes the model's optimiser see the gradient of the whole batch.

    Keras sums the gradients of the replicas last, after each replica has clipped its
    own, and after the gradients of the first replica have decided whether to skip the
    step. Here they are summed first.
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
    """Returns the copies of a seed generator's state, of which each replica has one."""
    return tf.distribute.get_strategy().experimental_local_results(state.value)
