"""The most memory that something takes, beside what was there before."""

import ctypes
import gc
import pathlib
import threading

from keras_regen.benchmark.load import import_psutil

STATUS = pathlib.Path("/proc/self/status")
CLEAR = pathlib.Path("/proc/self/clear_refs")
SAMPLING_SECONDS = 0.005


def peak_memory(device):
    """Begins to measure.

    Args:
        device: `"cpu"`; or `"torch"`, `"jax"` or `"tensorflow"`, whose GPU it is.

    Returns:
        An object with `reset()`, which forgets the peak but not what there was before,
        and `stop()`, which returns the peak over that, in bytes, or None if unknown.
    """
    gc.collect()
    if device != "cpu":
        return GPUS[device]()
    _return_free_memory()
    try:
        return _HighWaterMark()
    except OSError:
        return _Sampler()


class _HighWaterMark:
    """The peak that Linux keeps of the resident set."""

    def __init__(self):
        self.reset()
        self._before = _resident("VmRSS")

    def reset(self):
        CLEAR.write_text("5")

    def stop(self):
        return max(0, _resident("VmHWM") - self._before)


class _Sampler:
    """The resident set, looked at again and again."""

    def __init__(self):
        self._process = import_psutil().Process()
        self._before = self._read()
        self._peak = self._before
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def reset(self):
        self._peak = self._read()

    def stop(self):
        self._stopped.set()
        self._thread.join()
        return max(0, self._peak - self._before)

    def _watch(self):
        while not self._stopped.wait(SAMPLING_SECONDS):
            self._peak = max(self._peak, self._read())

    def _read(self):
        return self._process.memory_info().rss


class _TorchGPU:
    def __init__(self):
        import torch

        self._cuda = torch.cuda
        self._cuda.synchronize()
        self.reset()
        self._before = self._cuda.memory_allocated()

    def reset(self):
        self._cuda.reset_peak_memory_stats()

    def stop(self):
        return self._cuda.max_memory_allocated() - self._before


class _TensorFlowGPU:
    def __init__(self):
        import tensorflow as tf

        self._statistics = tf.config.experimental
        self.reset()
        self._before = self._statistics.get_memory_info("GPU:0")["current"]

    def reset(self):
        self._statistics.reset_memory_stats("GPU:0")

    def stop(self):
        return self._statistics.get_memory_info("GPU:0")["peak"] - self._before


class _JaxGPU:
    """JAX keeps the peak of the whole process: what stays below it is not known."""

    def __init__(self):
        import jax

        self._device = jax.local_devices()[0]
        statistics = self._device.memory_stats()
        self._before = statistics["bytes_in_use"]
        self._earlier_peak = statistics["peak_bytes_in_use"]

    def reset(self):
        pass

    def stop(self):
        peak = self._device.memory_stats()["peak_bytes_in_use"]
        return peak - self._before if peak > self._earlier_peak else None


GPUS = {"torch": _TorchGPU, "tensorflow": _TensorFlowGPU, "jax": _JaxGPU}


def _resident(name):
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{STATUS} has no {name}")


def _return_free_memory():
    """What was freed and kept would be taken again and not be seen."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        # Not glibc.
        return
