import keras

from keras_regen import hardware

BACKEND = keras.backend.backend()


def test_a_gpu_that_keras_does_not_use_does_not_count(monkeypatch):
    if BACKEND == "torch":
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    elif BACKEND == "tensorflow":
        # As after `set_visible_devices([], "GPU")`.
        name = "tensorflow.config.list_physical_devices"
        monkeypatch.setattr(name, lambda kind: [kind])
    assert hardware.device_type() == "cpu" and not hardware.on_accelerator()
    assert " x " not in hardware.hardware() or BACKEND == "jax"


def test_the_device_that_keras_uses(monkeypatch):
    if BACKEND == "jax":
        monkeypatch.setattr("jax.default_backend", lambda: "tpu")
        assert hardware.device_type() == "tpu"
    elif BACKEND == "tensorflow":
        name = "tensorflow.config.get_visible_devices"
        monkeypatch.setattr(name, lambda kind: [kind])
        assert hardware.device_type() == "gpu"
    else:
        with keras.device("meta"):
            assert hardware.device_type() == "meta" and hardware.on_accelerator()
