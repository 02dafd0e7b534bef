"""The CPUs, and the devices that the backend computes on."""

import os
import pathlib
import platform

import keras

_CPU_INFO = pathlib.Path("/proc/cpuinfo")


def cpu_info() -> str:
    """Returns what the system tells about the CPU, as text: on Linux, line by line."""
    try:
        return _CPU_INFO.read_text()
    except OSError:
        return platform.processor()


def num_cpus() -> int:
    """Returns the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hardware() -> str:
    """Returns the number and name of the devices, as text."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    if backend == "torch" and device_type() == "cuda":
        import torch

        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.get_visible_devices("GPU")
        if gpus:
            details = tf.config.experimental.get_device_details(gpus[0])
            return f"{len(gpus)} x {details.get('device_name', 'GPU')}"
    return platform.processor() or platform.machine()


def device() -> str:
    """Returns the number and name of the accelerators, or `"CPU"`."""
    return hardware() if on_accelerator() else "CPU"


def on_accelerator() -> bool:
    """Returns whether the backend computes on a GPU or TPU."""
    return device_type() != "cpu"


def device_type() -> str:
    """Returns the type of the device that Keras computes on, as its backend names it.

    It is asked for each time and not remembered, since users may choose a device late.

    Returns:
        `"cpu"`, `"gpu"` or `"tpu"`; on PyTorch `"cpu"`, `"cuda"`, `"mps"` or another.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend()
    if backend == "torch":
        return keras.ops.empty(()).device.type
    import tensorflow as tf

    # Logical devices would fix the choice of devices.
    return "gpu" if tf.config.get_visible_devices("GPU") else "cpu"
