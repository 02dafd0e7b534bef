"""The devices that the backend computes on."""

import platform

import keras


def hardware() -> str:
    """Returns the number and name of the devices, as text."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            details = tf.config.experimental.get_device_details(gpus[0])
            return f"{len(gpus)} x {details.get('device_name', 'GPU')}"
    return platform.processor() or platform.machine()


def device() -> str:
    """Returns the number and name of the accelerators, or `"CPU"`."""
    return hardware() if on_accelerator() else "CPU"


def on_accelerator() -> bool:
    """Returns whether the backend computes on a GPU or TPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
