"""How fast models run, next to peers and to the limits of the machine."""

from typing import TYPE_CHECKING

from keras_regen.benchmark.peak_memory import measure_peak_memory
from keras_regen.benchmark.report import PLOT, REPORT, join_reports, plot_seconds
from keras_regen.benchmark.settings import CASES, PEERS, PRECISIONS, Settings
from keras_regen.benchmark.timer import Timer, import_psutil
from keras_regen.lazy import lazy_exports

if TYPE_CHECKING:
    from keras_regen.benchmark.machine import load_limit
    from keras_regen.benchmark.runner import Benchmark

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
    "measure_peak_memory",
    "plot_seconds",
]

# These need Keras, which importing this package does not import.
__getattr__, __dir__ = lazy_exports(
    __name__, __all__, {"load_limit": "machine", "Benchmark": "runner"}
)
