"""What a command shows while it works."""

import datetime
import threading
import time

import rich.progress

# Shorter work needs no estimate.
LONG_SECONDS = 10
# Without a terminal, this long passes between two lines.
LINE_SECONDS = 10
# The speed is measured over at least this long.
MIN_SECONDS = 1


class ProgressBar:
    """Shows how far work is, for the length of a `with` block.

    A terminal shows a bar. Any other output gets a line every ten seconds, and one at
    the end. If the work is long, one line says so as soon as the speed is known. The
    first units only start the clock, since models are compiled for them.

    Args:
        label: str. What is done, such as `"Encoding"`.
        console: a `rich.console.Console`.
        total: int or None. The number of units, if it is known.
        unit: str. The name of a unit. Defaults to `"frames"`.
        size: tuple of int or None. Height and width of the frames, for the estimate.

    Attributes:
        done: int. Units so far.
    """

    def __init__(self, label, console, total=None, unit="frames", size=None):
        self.done = 0
        self._step = ""
        self._label, self._unit, self._size = label, unit, size
        self._total = total
        self._console = console
        # The time and the number of the first units that were done.
        self._first: tuple[float, int] | None = None
        self._is_told = False
        self._ended = threading.Event()
        self._lines = threading.Thread(target=self._print_lines, daemon=True)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn(label),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn(unit + "{task.description}"),
            rich.progress.TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self):
        self._start = time.perf_counter()
        self._bar.start()
        if not self._console.is_terminal:
            self._lines.start()
        return self

    def __exit__(self, exception_type, *exception):
        self._ended.set()
        if exception_type is None:
            # The total may have been an estimate.
            self._total = self.done
            self._bar.update(self._task, total=self.done)
        self._bar.stop()
        if not self._console.is_terminal:
            self._lines.join()
            if exception_type is None:
                self._print(self._count())

    def __call__(self, done, total):
        """Shows `done` of `total` units; the total may be None."""
        self.done, self._total = done, total
        self._bar.update(self._task, completed=done, total=total)
        now = time.perf_counter()
        if self._first is None:
            self._first = now, done
        elif not self._is_told and (left := self._seconds_left()) is not None:
            self._is_told = True
            if left >= LONG_SECONDS:
                self._print_estimate(now - self._start + left)

    def show_step(self, step, steps):
        """Shows how far the work is that comes before the next units."""
        self._step = f", step {step}/{steps}" if step < steps else ""
        self._bar.update(self._task, description=self._step)

    def _seconds_left(self):
        """Returns the seconds that are left, or None where nobody knows."""
        if self._first is None or self._total is None:
            return None
        start, first = self._first
        seconds = time.perf_counter() - start
        if seconds < MIN_SECONDS or self.done <= first:
            return None
        # Up to now, and not to the last unit: frames of a chunk come all at once.
        return max(0, self._total - self.done) * seconds / (self.done - first)

    def _print_estimate(self, seconds):
        size = ""
        if self._size is not None:
            height, width = self._size
            size = f" of {width}x{height} pixels"
        units = f"{self._total:,} {self._unit}{size}"
        self._print(f"{self._label} {units} takes about {duration(seconds)} here.")

    def _print_lines(self):
        while not self._ended.wait(LINE_SECONDS):
            elapsed, left = time.perf_counter() - self._start, self._seconds_left()
            line = f"{self._count()} after {_clock(elapsed)}"
            self._print(line if left is None else f"{line}, about {_clock(left)} left")

    def _count(self):
        total = "" if self._total is None else f"/{self._total}"
        return f"{self._label}: {self.done}{total} {self._unit}{self._step}"

    def _print(self, line):
        self._console.print(line, highlight=False, soft_wrap=True)


def tracked(items, label, total, console, unit="frames", size=None):
    """Yields items, and shows how many there were; see `ProgressBar`."""
    with ProgressBar(label, console, total, unit, size) as progress:
        for done, item in enumerate(items, 1):
            yield item
            progress(done, total)


def _clock(seconds):
    return str(datetime.timedelta(seconds=round(seconds)))


def duration(seconds):
    """Returns seconds in words, to about two digits.

    >>> duration(7.4), duration(100), duration(3 * 3600 + 125)
    ('7 s', '100 s', '3 h 2 min')
    """
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
