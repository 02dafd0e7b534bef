import pytest

from keras_regen.benchmark import ceilings


class FakeTimer:
    """Each call takes 0.02 s longer than the one before."""

    def __init__(self):
        self.tried = 0

    def time(self, function):
        function()
        self.tried += 1
        return type("Timing", (), {"seconds": 0.02 * self.tried})


@pytest.fixture
def sides(monkeypatch):
    monkeypatch.setattr(ceilings, "MATMUL_SIDES", (8, 16, 32))
    monkeypatch.setattr(ceilings, "CONV_SIDES", (1,))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_first_size_that_takes_long_enough(sides, dtype):
    rates = ceilings.measure_ceiling(dtype, FakeTimer())
    # The second matrix product takes 0.04 s, the convolution 0.06 s.
    assert rates["matmul"] == pytest.approx(2 * 16**3 / 0.04)
    assert rates["conv3d"] == pytest.approx(2 * 9 * 27 * 128**2 / 0.06)
    assert ("numpy" in rates) == (dtype == "float32")
    assert rates["ceiling"] == max(
        rate for name, rate in rates.items() if name != "ceiling"
    )


def test_calls_are_queued_on_a_gpu(sides):
    rates = ceilings.measure_ceiling("float32", FakeTimer(), on_gpu=True)
    assert rates["matmul"] == pytest.approx(ceilings.GPU_CALLS * 2 * 16**3 / 0.04)
    assert "numpy" not in rates
