"""The machine and the packages that a benchmark runs on."""

import importlib.metadata
import platform
from typing import Any

import keras

import keras_regen
from keras_regen.benchmark.timer import CPU_LIMIT, import_psutil
from keras_regen.hardware import cpu_info, device, num_cpus, on_accelerator

PACKAGES = ("keras", "numpy")


def machine() -> dict[str, Any]:
    """Returns a dict of the CPU, its cores, the memory, the system and the device."""
    psutil = import_psutil()
    return {
        "cpu": _cpu(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "usable_threads": num_cpus(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "device": device(),
    }


def load_limit() -> float:
    """Returns the number of cores that other processes may take during timing.

    With a GPU, the host has little to do and can spare half of its cores.
    """
    return max(CPU_LIMIT, num_cpus() / 2) if on_accelerator() else CPU_LIMIT


def versions(*packages: str) -> dict[str, str | None]:
    """Returns the versions of Python, our package, Keras, its backend and others."""
    # A source tree that is not installed has no metadata.
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "keras-regen": keras_regen.__version__,
    }
    for name in dict.fromkeys([*PACKAGES, keras.backend.backend(), *packages]):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # The package has another name than the module, such as tensorflow-cpu.
            found[name] = getattr(importlib.import_module(name), "__version__", None)
    return found


def _cpu():
    for line in cpu_info().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
