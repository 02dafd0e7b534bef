"""Timing a function on a machine that may not be quiet."""

import dataclasses
import math
import statistics
import time

from keras_regen.benchmark.load import MachineBusyError, OtherLoad

# CPU time is counted in ticks of 10 ms: over less than this, two of them would pass for
# load.
MIN_SAMPLE_SECONDS = 0.25
# In cores. One core of two taken by others slows two threads four- to fivefold.
CPU_LIMIT = 0.1
# Samples that may be discarded for each that is wanted.
PATIENCE = 4


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long one call takes.

    Args:
        first_seconds: float. The first call, which compiles.
        samples: list of float. Seconds of a call, the mean over `calls_per_sample`.
        calls_per_sample: int.
        other_cores: list of float. Cores that others took during each sample.
        discarded: int. Samples that were not counted.
    """

    first_seconds: float
    samples: list
    calls_per_sample: int
    other_cores: list
    discarded: int

    @property
    def seconds(self):
        """The median."""
        return statistics.median(self.samples)


class Timer:
    """Times calls, and repeats those during which something else ran.

    Args:
        repeats: int. Samples. Defaults to `5`.
        limit: float. Cores that others may take during a sample. Defaults to 0.1.
        any_load: bool. Whether to count samples whatever else runs. Defaults to
            `False`.
        other_load: callable that returns the seconds of CPU time of others so far.
            Defaults to `OtherLoad()`.
    """

    def __init__(self, repeats=5, limit=CPU_LIMIT, any_load=False, other_load=None):
        self.repeats = repeats
        self.limit = limit
        self.any_load = any_load
        self._other_load = other_load or OtherLoad()

    def time(self, function, compiled=None):
        """Times a function.

        Args:
            function: callable without arguments, done when it returns.
            compiled: callable or None, called after the first call.

        Returns:
            `Timing`.

        Raises:
            MachineBusyError: if too many samples had to be discarded.
        """
        return self.take_turns(function, compiled=compiled)[0]

    def take_turns(self, *functions, compiled=None):
        """Times functions in turns, A B A B, which makes their ratios steadier.

        Args:
            *functions: as for `time`.
            compiled: as for `time`, called after the first call of each.

        Returns:
            List of `Timing`. A turn of all of them is discarded as a whole.

        Raises:
            MachineBusyError: if too many turns had to be discarded.
        """
        begun = [_warm_up(function, compiled) for function in functions]
        turns, loads, discarded = [], [], []
        while len(turns) < self.repeats:
            load, start = self._other_load(), time.perf_counter()
            turn = [
                _seconds(function, calls)
                for function, (_, calls) in zip(functions, begun, strict=True)
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
                    "Something else keeps the machine busy, so that nothing can be "
                    f"timed: {len(discarded)} samples had "
                    f"{statistics.median(discarded):.2f} cores taken by others, where "
                    f"{self.limit:.2f} are allowed. Stop it, or count all samples with "
                    "--any-load"
                )
        return [
            Timing(first, list(samples), calls, loads, len(discarded))
            for (first, calls), samples in zip(
                begun, zip(*turns, strict=True), strict=True
            )
        ]


def _warm_up(function, compiled):
    """Seconds of the first call, and how many calls make a sample."""
    first = _seconds(function, 1)
    if compiled:
        compiled()
    # The second call may still allocate; the third tells how long one takes.
    seconds = _seconds(function, 1)
    if seconds < MIN_SAMPLE_SECONDS:
        seconds = min(seconds, _seconds(function, 1))
    return first, max(1, math.ceil(MIN_SAMPLE_SECONDS / max(seconds, 1e-6)))


def _seconds(function, calls):
    """The mean of a call."""
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls
