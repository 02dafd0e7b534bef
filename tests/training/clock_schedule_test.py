import itertools
import json
import math

import numpy as np
import pytest

from keras_regen.models import preset_metadata
from keras_regen.training import ClockSchedule, train
from tests.training.run_test import ONE_SHAPE, SETTINGS, config

RATE = 1e-2


def test_the_rate_rises_and_falls_with_the_clock():
    schedule = ClockSchedule(100, RATE, warmup=0.1)
    rates = [schedule.rate(share) for share in (0, 0.05, 0.1, 0.55, 1, 1.5)]
    middle = 0.5 * (1 + schedule.MIN_SHARE)
    shares = [0, 0.5, 1, middle, schedule.MIN_SHARE, schedule.MIN_SHARE]
    np.testing.assert_allclose(rates, RATE * np.array(shares), atol=1e-12)


@pytest.fixture
def clock(monkeypatch):
    """Makes the clock one second later every time that anything reads it."""
    times = iter(range(10**6))
    monkeypatch.setattr(
        "keras_regen.training.clock_schedule.time.perf_counter", lambda: next(times)
    )


def test_a_run_lasts_its_minutes_and_resumes_at_its_place(clock, folder, tmp_path):
    settings = {
        **SETTINGS,
        **ONE_SHAPE,
        "samples": 0,
        "learning_rate": RATE,
        "minutes": 20 / 60,
    }

    def rows_of():
        return json.loads((tmp_path / "run" / "history.json").read_text())

    original, stopped = ClockSchedule.on_epoch_end, []

    def stop(self, epoch, logs=None):
        original(self, epoch, logs)
        if self.elapsed >= 6:
            stopped.append(self.elapsed)
            self.model.stop_training = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClockSchedule, "on_epoch_end", stop)
        train(config(folder, **settings), tmp_path / "run")
    before = rows_of()
    assert before[-1]["elapsed"] == stopped[0] < 20
    train(config(folder, **settings), tmp_path / "run")
    rows = rows_of()
    assert rows[: len(before)] == before
    assert rows[-1]["elapsed"] >= 20 > rows[-2]["elapsed"]
    schedule = ClockSchedule(20, RATE, 0.05)
    for earlier, row in itertools.pairwise(rows):
        expected = schedule.rate(earlier["elapsed"] / 20)
        assert row["learning_rate"] == pytest.approx(expected, rel=1e-5)
        assert math.isfinite(row["loss"])
    [training] = preset_metadata(tmp_path / "run" / "preset")["training"]
    assert training["steps"] == rows[-1]["step"] == 4 * len(rows)
    assert training["minutes"] == pytest.approx(20 / 60)
    # Its time is up: the same call trains no more.
    train(config(folder, **settings), tmp_path / "run")
    assert rows_of() == rows


@pytest.mark.parametrize("minutes", [-1.0])
def test_minutes_are_not_negative(minutes, folder):
    with pytest.raises(ValueError, match="`minutes` must be a finite number, from 0"):
        config(folder, minutes=minutes)
