"""One input: tried in a process of its own, and judged."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shutil
import signal
import stat
from collections.abc import Callable

import h5py
import numpy as np

from tools.attack.child import DONE, NOT_FINITE, REFUSED, Watch, run

# What a process may take on top of its parent, in bytes, and how long it may run.
MAX_MEMORY = 2 * 10**9
MAX_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Attempt:
    """An input and what is allowed to come of it.

    Args:
        label: str. What the input is, for the report.
        arguments: sequence of the arguments of `keras-regen`, or None.
        call: callable or None. What is called instead; it may raise ValueError, and
            returns arrays, which must be finite.
        names: strings of which an error must contain one.
        outputs: names of the files and directories that may appear or change.
        remains: names of those that may change even where there is an error.
        warns: bool. Whether warnings may come before an error.
        expected: set of the allowed exit statuses.
        max_file_size: int or None. The size at which the disk is full, in bytes.
        kill: None, or a pair of the signal to send and when, in seconds. The same is
            tried again without it, and must succeed.
    """

    label: str
    arguments: tuple | None = None
    call: Callable | None = None
    names: tuple = ()
    outputs: tuple = ()
    remains: tuple = ()
    warns: bool = False
    expected: tuple = (DONE, REFUSED)
    max_file_size: int | None = None
    kill: tuple | None = None


class Arena:
    """The directories in which inputs are tried.

    `here` is the working directory of an attempt; `outside` holds files that no attempt
    may read; `tmp` is the directory of temporary files.

    Args:
        root: path of an empty directory.
        max_seconds: float. When an attempt is taken for one that hangs.
        max_memory: int. Bytes that an attempt may take.
    """

    def __init__(self, root, max_seconds=MAX_SECONDS, max_memory=MAX_MEMORY):
        self.root = pathlib.Path(root)
        self.here, self.outside, self.tmp = (
            self.root / name for name in ("here", "outside", "tmp")
        )
        self.max_seconds = max_seconds
        self.max_memory = max_memory
        for directory in (self.here, self.outside, self.tmp):
            directory.mkdir()

    @contextlib.contextmanager
    def cleared(self):
        """Makes `here` and `tmp` empty, and `here` the working directory."""
        before = pathlib.Path.cwd()
        for directory in (self.here, self.tmp):
            shutil.rmtree(directory)
            directory.mkdir()
        os.chdir(self.here)
        try:
            yield
        finally:
            os.chdir(before)

    def violations(self, make, *arguments):
        """Tries an input.

        Args:
            make: callable that writes files to the working directory and returns an
                `Attempt`.
            *arguments: its arguments.

        Returns:
            The `Attempt`, the exit status, and a list of str: what was violated.
        """
        with self.cleared():
            attempt = make(*arguments)
            found, outcome = self._judged(attempt)
            status = outcome.status
            if attempt.kill and not found:
                # Images that were complete before the signal are not replaced.
                shutil.rmtree("images", ignore_errors=True)
                again = dataclasses.replace(attempt, kill=None, expected=(DONE,))
                found, _ = self._judged(again)
                found = [f"in the second run: {violation}" for violation in found]
        return attempt, status, found

    def _judged(self, attempt):
        """Runs an attempt; returns what it violated, and its `Outcome`."""
        with Watch(self.outside) as watch:
            inside = contents(self.here)
            outside = contents(self.root, without=("here",))
            outcome = run(attempt, self.tmp, self.max_seconds)
            touched = watch.touched()
        found = list(_status_violations(attempt, outcome))
        if outcome.memory > self.max_memory:
            found.append(f"it took {outcome.memory / 1e9:.1f} GB")
        if touched:
            found.append("it opened a file outside")
        if attempt.kill and attempt.kill[0] == signal.SIGKILL:
            # What it leaves is for the second run to remove.
            return found, outcome
        if contents(self.root, without=("here",)) != outside:
            found.append("it changed something outside")
        allowed = attempt.outputs if outcome.status == DONE else attempt.remains
        after = contents(self.here)
        found += [f"it left {path}" for path in after if _is_stray(path)]
        changed = [
            path
            for path in _changed(inside, after)
            # What a killed process left is removed.
            if not _within(path, allowed) and not _is_stray(path)
        ]
        if changed:
            found.append(f"it changed {', '.join(sorted(changed)[:3])}")
        if outcome.status == DONE:
            found += [f"{x} is not finite" for x in attempt.outputs if _is_broken(x)]
        return found, outcome


# === Rules ===


def _status_violations(attempt, outcome):
    """Yields what is wrong with the status and the messages of an attempt."""
    if outcome.timed_out:
        yield f"it did not end in {outcome.seconds:.0f} s"
        return
    expected = attempt.expected
    if attempt.kill:
        # Before it can handle a signal, and after it ended, it is not unwound.
        number = attempt.kill[0]
        expected = (*expected, -number, *([143] if number == signal.SIGTERM else []))
    lines = outcome.stderr.splitlines()
    last = lines[-1][:200] if lines else ""
    if outcome.status == NOT_FINITE:
        yield "a value is not finite"
    elif outcome.status not in expected:
        yield f"its status is {outcome.status}: {last}"
    elif "Traceback" in outcome.stderr:
        yield f"it printed a traceback: {last}"
    elif outcome.status == REFUSED:
        if (len(lines) > 1 and not attempt.warns) or not last.startswith(
            "keras-regen: "
        ):
            yield f"its error has {len(lines)} lines: {lines[0][:200] if lines else ''}"
        elif attempt.names and not any(x in outcome.stderr for x in attempt.names):
            yield f"its error does not name the input: {last}"


def contents(directory, without=()):
    """Returns the relative paths below a directory, with what tells them apart.

    It opens no file outside the working directory, where links may lead.

    Args:
        directory: path.
        without: names in the directory to leave out.
    """
    found, directory = {}, pathlib.Path(directory)
    names = [entry.name for entry in os.scandir(directory) if entry.name not in without]
    for top in names:
        walk = os.walk(directory / top)
        paths = [directory / top]
        paths += [
            pathlib.Path(parent) / name
            for parent, folders, files in walk
            for name in (*folders, *files)
        ]
        for path in paths:
            found[path.relative_to(directory).as_posix()] = _identity(path, not without)
    return found


def _identity(path, by_value):
    state = path.lstat()
    kind = stat.S_IFMT(state.st_mode)
    if not stat.S_ISREG(kind):
        return kind, state.st_rdev, os.readlink(path) if stat.S_ISLNK(kind) else None
    if by_value and state.st_size < 10**7:
        return kind, hashlib.sha256(path.read_bytes()).hexdigest()
    return kind, state.st_size, state.st_mtime_ns


def _changed(before, after):
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


def _within(path, allowed):
    return any(path == x or path.startswith(f"{x}/") for x in allowed)


def _is_stray(path):
    """Whether a path is of an output that is not complete."""
    parts = pathlib.PurePath(path).parts
    return any(part.startswith(".") and ".part" in part for part in parts)


def _is_broken(path):
    """Whether an output holds values that are not finite."""
    path = pathlib.Path(path)
    if not path.is_file():
        return False
    if path.suffix == ".npy":
        return not np.all(np.isfinite(np.load(path)))
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return not np.all(np.isfinite(file["latents"][()]))
    return False
