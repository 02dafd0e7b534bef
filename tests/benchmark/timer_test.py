import time

import psutil
import pytest

from keras_regen.benchmark import Timer, timer
from keras_regen.benchmark.timer import MachineBusyError, OtherLoad

SECONDS = 0.1


class FakeLoad:
    """Others take the given seconds of CPU time during the samples."""

    def __init__(self, *seconds):
        self._seconds = iter(seconds)
        self._total = 0.0
        self._in_sample = False

    def __call__(self):
        if self._in_sample:
            self._total += next(self._seconds, 0.0)
        self._in_sample = not self._in_sample
        return self._total


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    monkeypatch.setattr(timer, "MIN_SAMPLE_SECONDS", SECONDS)


def sleep():
    time.sleep(SECONDS)


def test_samples_under_load_are_taken_again():
    # Seconds of CPU time over 0.1 s: 0.005 is half the limit, 0.1 is a core.
    load = FakeLoad(0.1, 0.005, 0.02, 0.005)
    timing = Timer(repeats=2, other_load=load).time(sleep)
    assert timing.discarded == 2
    assert timing.calls_per_sample == 1
    assert timing.other_cores == pytest.approx([0.05, 0.05], rel=0.2)
    assert timing.samples == pytest.approx([SECONDS] * 2, rel=0.2)
    assert min(timing.samples) <= timing.seconds <= max(timing.samples)


def test_a_busy_machine_is_an_error_that_tells_the_load():
    load = FakeLoad(*[0.1] * 5)
    with pytest.raises(MachineBusyError, match=r"5 samples had (1\.0|0\.9)\d cores"):
        Timer(repeats=1, other_load=load).time(sleep)


def test_any_load_keeps_samples_under_load():
    load = FakeLoad(0.1)
    timing = Timer(repeats=1, any_load=True, other_load=load).time(sleep)
    assert timing.discarded == 0
    assert timing.other_cores == pytest.approx([1.0], rel=0.2)


def test_short_calls_are_batched():
    calls = []

    def call():
        calls.append(time.perf_counter())
        time.sleep(0.01)

    compiled = []
    timing = Timer(repeats=2, other_load=FakeLoad()).time(
        call, compiled=lambda: compiled.append(len(calls))
    )
    assert compiled == [1]
    assert 2 <= timing.calls_per_sample <= 10
    assert len(calls) == 3 + 2 * timing.calls_per_sample
    assert timing.samples == pytest.approx([0.01] * 2, rel=0.5)


def test_functions_take_turns():
    order = []
    short, long = (
        lambda: (order.append("short"), time.sleep(SECONDS)),
        lambda: (order.append("long"), time.sleep(2 * SECONDS)),
    )
    # The whole first turn is discarded.
    timings = Timer(repeats=2, other_load=FakeLoad(1.0)).take_turns(short, long)
    assert order == ["short"] * 2 + ["long"] * 2 + ["short", "long"] * 3
    assert [timing.discarded for timing in timings] == [1, 1]
    assert timings[1].seconds / timings[0].seconds == pytest.approx(2, rel=0.1)


def test_the_load_of_this_process_does_not_count():
    load = OtherLoad()
    before, start, own = load(), time.perf_counter(), time.process_time()
    while time.process_time() - own < 0.3:
        pass
    seconds = time.perf_counter() - start
    # Others may run, but not on the core that this process uses.
    max_load = psutil.cpu_count() * seconds - 0.3
    assert -0.05 <= load() - before <= max_load + 0.1
