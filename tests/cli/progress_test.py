import io
import time

import pytest
import rich.console

from keras_regen.cli import progress
from keras_regen.cli.progress import ProgressBar, duration, tracked


@pytest.fixture
def console():
    return rich.console.Console(file=io.StringIO(), width=80)


def lines(console):
    # Some versions of Rich end what was live with an empty line.
    return [line for line in console.file.getvalue().splitlines() if line]


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now)


def test_one_line_has_an_estimate_of_long_work(console, monkeypatch):
    clock = Clock(monkeypatch)
    with ProgressBar("Encoding", console, 360, size=(240, 424)) as bar:
        # The first chunk of 9 frames is compiled, the others take 3 s each.
        for chunk in range(40):
            clock.now = 30.0 + 3 * chunk
            for frame in range(9):
                bar(9 * chunk + frame + 1, 360)
    estimate, end = lines(console)
    # 30 s, and 39 chunks: 147 s.
    assert estimate == "Encoding 360 frames of 424x240 pixels takes about 2 min here."
    assert end == "Encoding: 360/360 frames"


@pytest.mark.parametrize("total", [20, None])
def test_short_work_and_work_without_end_have_no_estimate(console, monkeypatch, total):
    clock = Clock(monkeypatch)
    with ProgressBar("Encoding", console, total) as bar:
        for done in range(1, 21):
            clock.now += 0.3
            bar(done, total)
    assert lines(console) == ["Encoding: 20/20 frames"]


def test_without_a_terminal_lines_come_by_the_clock(console, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)
    items = tracked(range(3), "Scoring", 3, console, "videos")
    next(items)
    while len(lines(console)) < 2:
        time.sleep(0.01)
    assert lines(console)[0].startswith("Scoring: 0/3 videos after ")
    assert list(items) == [1, 2]
    assert lines(console)[-1] == "Scoring: 3/3 videos"
    before = lines(console)
    time.sleep(0.15)
    assert lines(console) == before


def test_steps_before_the_first_frames(console, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)
    with ProgressBar("Generating", console) as bar:
        bar.show_step(3, 30)
        while not lines(console):
            time.sleep(0.01)
        bar.show_step(30, 30)
        bar(9, 9)
    assert lines(console)[0].startswith("Generating: 0 frames, step 3/30 after ")
    assert lines(console)[-1] == "Generating: 9/9 frames"


def test_a_terminal_has_a_bar(monkeypatch):
    file = io.StringIO()
    console = rich.console.Console(file=file, force_terminal=True, width=80)
    assert list(tracked(range(3), "Scoring", 3, console)) == [0, 1, 2]
    with ProgressBar("Generating", console) as bar:
        bar.show_step(3, 30)
    assert ", step 3/30" in file.getvalue()
    assert "3/3" in file.getvalue() and "━" in file.getvalue()
    assert "Scoring: " not in file.getvalue()


def test_duration():
    assert [duration(s) for s in (0.2, 59.6, 119, 300, 2 * 3600, 9000)] == [
        *("1 s", "60 s", "119 s", "5 min", "2 h 0 min", "2 h 30 min"),
    ]
