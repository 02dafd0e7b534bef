"""How fast models run on this machine, beside what it can do and what others do."""

from typing import TYPE_CHECKING

from keras_regen.benchmark.load import import_psutil
from keras_regen.benchmark.report import PLOT, REPORT, join_reports
from keras_regen.benchmark.settings import CASES, PEERS, PRECISIONS, Settings
from keras_regen.lazy import lazy_exports

if TYPE_CHECKING:
    from keras_regen.benchmark.machine import load_limit
    from keras_regen.benchmark.peak_memory import peak_memory
    from keras_regen.benchmark.plots import plot_seconds
    from keras_regen.benchmark.runner import Benchmark
    from keras_regen.benchmark.timer import Timer

__all__ = [
    "CASES",
    "PEERS",
    "PLOT",
    "PRECISIONS",
    "REPORT",
    "Benchmark",
    "Settings",
    "Timer",
    "import_psutil",
    "join_reports",
    "load_limit",
    "peak_memory",
    "plot_seconds",
]

# These need Keras, which importing this package does not import.
__getattr__, __dir__ = lazy_exports(
    __name__,
    __all__,
    {
        "load_limit": "machine",
        "peak_memory": "peak_memory",
        "plot_seconds": "plots",
        "Benchmark": "runner",
        "Timer": "timer",
    },
)
