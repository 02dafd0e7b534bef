import numpy as np
import pytest

from keras_regen.benchmark import peak_memory as module

SIZE = 50_000_000


@pytest.fixture(params=["high-water mark", "sampler"])
def peak(request, monkeypatch):
    if request.param == "sampler":
        monkeypatch.setattr(module, "CLEAR", module.CLEAR.with_name("nothing"))
    elif not module.CLEAR.exists():
        pytest.skip("Linux keeps it")
    return module.peak_memory("cpu")


def test_what_is_held_for_a_moment_counts(peak):
    values = np.ones(SIZE, "uint8")
    for _ in range(20):
        values += 1
    del values
    assert SIZE * 0.95 < peak.stop() < SIZE * 1.5


def test_what_was_held_before_the_reset_does_not(peak):
    np.ones(SIZE, "uint8").sum()
    kept = np.ones(SIZE // 5, "uint8")
    peak.reset()
    kept += 1
    # What is still there does.
    assert len(kept) * 0.9 < peak.stop() < SIZE * 0.7
