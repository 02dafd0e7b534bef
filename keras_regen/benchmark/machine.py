"""What a benchmark ran on."""

import importlib.metadata
import os
import pathlib
import platform

import keras

from keras_regen.benchmark.load import import_psutil
from keras_regen.benchmark.timer import CPU_LIMIT
from keras_regen.hardware import hardware, on_gpu

CPU_INFO = pathlib.Path("/proc/cpuinfo")
PACKAGES = ("keras-regen", "keras", "numpy")


def machine():
    """A dict of the CPU, its cores, the memory, the system and the device."""
    psutil = import_psutil()
    return {
        "cpu": _cpu(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "usable_threads": usable_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "device": hardware() if on_gpu() else "CPU",
    }


def load_limit():
    """Cores that others may take while something is timed.

    Beside a GPU, the host has little to do and cores to spare.
    """
    return max(CPU_LIMIT, usable_threads() / 2) if on_gpu() else CPU_LIMIT


def usable_threads():
    """Threads of the CPU that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def versions(*packages):
    """A dict of the versions of Python, ours, Keras, its backend and others."""
    found = {"python": platform.python_version()}
    for name in dict.fromkeys([*PACKAGES, keras.backend.backend(), *packages]):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Not installed from a package of that name, such as tensorflow-cpu.
            found[name] = getattr(importlib.import_module(name), "__version__", None)
    return found


def _cpu():
    try:
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        # Not Linux.
        pass
    return platform.processor() or platform.machine()
