"""Timing on a machine where other processes may run."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from types import ModuleType

# CPU time is counted in ticks of 10 ms: in shorter samples, two ticks would look like
# load.
MIN_SAMPLE_SECONDS = 0.25
# In cores. If others take one core of two, two threads run four to five times slower.
CPU_LIMIT = 0.1
# Samples that may be discarded for each one that is kept.
PATIENCE = 4
# Fields of `psutil.cpu_times()` that are not work. Guests are counted under user too.
IDLE = ("idle", "iowait", "guest", "guest_nice")


class MachineBusyError(OSError):
    """Something else kept the machine too busy to time anything."""


def import_psutil() -> ModuleType:
    """Imports psutil, or raises an ImportError that says what to install."""
    try:
        import psutil
    except ImportError as error:
        raise ImportError(
            "Benchmarks need psutil: pip install keras-regen[benchmark]"
        ) from error
    return psutil


class OtherLoad:
    """Measures the CPU time that other processes take.

    A call returns the busy seconds of all CPUs, including time that the hypervisor gave
    to other machines, minus the seconds of this process. Only differences between calls
    are meaningful. They are accurate to about two ticks of 10 ms.

    Raises:
        ImportError: if psutil is not installed.
    """

    def __init__(self) -> None:
        self._psutil = import_psutil()
        self._process = self._psutil.Process()

    def __call__(self) -> float:
        times = self._psutil.cpu_times()._asdict()
        busy = sum(value for name, value in times.items() if name not in IDLE)
        own = self._process.cpu_times()
        return busy - own.user - own.system


@dataclasses.dataclass(frozen=True)
class Timing:
    """The time that one call takes.

    Args:
        first_seconds: float. The first call, which includes compilation.
        samples: list of float. Mean seconds of a call, over `calls_per_sample` calls.
        calls_per_sample: int.
        other_cores: list of float. Cores that other processes took in each sample.
        discarded: int. Samples taken under load and thrown away.
    """

    first_seconds: float
    samples: list[float]
    calls_per_sample: int
    other_cores: list[float]
    discarded: int

    @property
    def seconds(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)


class Timer:
    """Times calls, and repeats samples during which other processes ran.

    Args:
        repeats: int. The number of samples. Defaults to `5`.
        limit: float. Cores that other processes may take during a sample. Defaults to
            `0.1`.
        any_load: bool. Whether to keep samples under any load. Defaults to `False`.
        other_load: callable that returns the CPU seconds of other processes so far.
            Defaults to `OtherLoad()`.
    """

    def __init__(
        self,
        repeats: int = 5,
        limit: float = CPU_LIMIT,
        any_load: bool = False,
        other_load: Callable[[], float] | None = None,
    ) -> None:
        self.repeats = repeats
        self.limit = limit
        self.any_load = any_load
        self._other_load = other_load or OtherLoad()

    def time(
        self,
        function: Callable[[], object],
        compiled: Callable[[], object] | None = None,
    ) -> Timing:
        """Times a function.

        Args:
            function: callable without arguments. It must return only when its work is
                done.
            compiled: callable or None, called after the first call.

        Returns:
            `Timing`.

        Raises:
            MachineBusyError: if too many samples were discarded.
        """
        return self.take_turns(function, compiled=compiled)[0]

    def take_turns(
        self,
        *functions: Callable[[], object],
        compiled: Callable[[], object] | None = None,
    ) -> list[Timing]:
        """Times functions in turns, A B A B, for steadier ratios between them.

        Args:
            *functions: as for `time`.
            compiled: as for `time`, called after the first call of each function.

        Returns:
            List of `Timing`. Under load, the whole turn is discarded.

        Raises:
            MachineBusyError: if too many turns were discarded.
        """
        warm_ups = [_warm_up(function, compiled) for function in functions]
        turns: list[list[float]] = []
        loads: list[float] = []
        discarded: list[float] = []
        while len(turns) < self.repeats:
            load, start = self._other_load(), time.perf_counter()
            turn = [
                _seconds(function, calls)
                for function, (_, calls) in zip(functions, warm_ups, strict=True)
            ]
            wall = time.perf_counter() - start
            load = max(0.0, self._other_load() - load) / wall
            if load <= self.limit or self.any_load:
                turns.append(turn)
                loads.append(load)
                continue
            discarded.append(load)
            if len(discarded) > PATIENCE * self.repeats:
                raise MachineBusyError(
                    "Other processes keep the machine too busy for timing: "
                    f"{len(discarded)} samples had {statistics.median(discarded):.2f} "
                    f"cores taken by others, where {self.limit:.2f} are allowed. Stop "
                    "the other processes, or keep all samples with --any-load"
                )
        return [
            Timing(first, list(samples), calls, loads, len(discarded))
            for (first, calls), samples in zip(
                warm_ups, zip(*turns, strict=True), strict=True
            )
        ]


def _warm_up(function, compiled):
    """Returns the seconds of the first call, and the number of calls of a sample."""
    first = _seconds(function, 1)
    if compiled:
        compiled()
    # The second call may still allocate memory; the third shows the true time.
    seconds = _seconds(function, 1)
    if seconds < MIN_SAMPLE_SECONDS:
        seconds = min(seconds, _seconds(function, 1))
    return first, max(1, math.ceil(MIN_SAMPLE_SECONDS / max(seconds, 1e-6)))


def _seconds(function, calls):
    """Returns the mean seconds of a call."""
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls
