"""Peak memory, on the CPU and on GPUs."""

import ctypes
import gc
import pathlib
import threading
from typing import Any

from keras_regen.benchmark.timer import import_psutil

STATUS = pathlib.Path("/proc/self/status")
CLEAR = pathlib.Path("/proc/self/clear_refs")
SAMPLING_SECONDS = 0.005


def measure_peak_memory(device: str) -> Any:
    """Starts measuring the memory that is allocated on top of what is in use now.

    Args:
        device: `"cpu"`; or `"torch"`, `"jax"` or `"tensorflow"` for the GPU of that
            backend.

    Returns:
        An object with two methods. `reset()` forgets the peak so far. `stop()` returns
        the peak in bytes minus the memory in use at the start, or None if it is
        unknown.
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
    """The peak of the resident set that Linux keeps."""

    def __init__(self):
        self.reset()
        self._before = _resident("VmRSS")

    def reset(self):
        CLEAR.write_text("5")

    def stop(self):
        return max(0, _resident("VmHWM") - self._before)


class _Sampler:
    """Polls the resident set."""

    def __init__(self):
        self._process = import_psutil().Process()
        self._before = self._read()
        self._peak = self._before
        self._stopped = threading.Event()
        # Without it, what was read before a reset could be kept after it.
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def reset(self):
        with self._lock:
            self._peak = self._read()

    def stop(self):
        self._stopped.set()
        self._thread.join()
        return max(0, self._peak - self._before)

    def _watch(self):
        while not self._stopped.wait(SAMPLING_SECONDS):
            with self._lock:
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
    """JAX keeps one peak for the whole process, so a lower peak is unknown."""

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
    """Returns freed memory to the system, since reusing it would not show."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        # Not glibc.
        return
