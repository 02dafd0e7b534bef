import threading

import numpy as np
import pytest

from keras_regen.benchmark import peak_memory

SIZE = 50_000_000


@pytest.fixture(params=["high-water mark", "sampler"])
def peak(request, monkeypatch):
    if request.param == "sampler":
        missing = peak_memory.CLEAR.with_name("nothing")
        monkeypatch.setattr(peak_memory, "CLEAR", missing)
    elif not peak_memory.CLEAR.exists():
        pytest.skip("only Linux keeps a high-water mark")
    return peak_memory.measure_peak_memory("cpu")


def test_freed_memory_counts(peak):
    values = np.ones(SIZE, "uint8")
    for _ in range(20):
        values += 1
    del values
    assert SIZE * 0.95 < peak.stop() < SIZE * 1.5


def test_memory_freed_before_the_reset_does_not_count(peak):
    np.ones(SIZE, "uint8").sum()
    kept = np.ones(SIZE // 5, "uint8")
    peak.reset()
    kept += 1
    # Memory still in use does.
    assert len(kept) * 0.9 < peak.stop() < SIZE * 0.7


def test_a_reset_forgets_what_is_being_read(monkeypatch):
    reading, resetting = threading.Event(), threading.Event()

    def read(sampler):
        if threading.current_thread() is threading.main_thread():
            return 10
        reading.set()
        resetting.wait(0.2)
        return 1000 if not resetting.is_set() else 10

    monkeypatch.setattr(peak_memory._Sampler, "_read", read)
    sampler = peak_memory._Sampler()
    reading.wait()
    sampler.reset()
    resetting.set()
    assert sampler.stop() == 0
