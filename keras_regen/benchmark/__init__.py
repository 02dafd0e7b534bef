"""How fast models run on this machine, beside what it can do and what others do.

Importing it imports no Keras.
"""

import importlib

from keras_regen.benchmark.settings import CASES, PEERS, Settings

__all__ = ["CASES", "PEERS", "Benchmark", "Settings"]


def __getattr__(name):
    if name == "Benchmark":
        return importlib.import_module("keras_regen.benchmark.benchmark").Benchmark
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
