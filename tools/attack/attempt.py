"""One input: tried in a process of its own, and judged."""

import contextlib
import ctypes
import dataclasses
import faulthandler
import hashlib
import os
import pathlib
import resource
import shutil
import signal
import stat
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable

import h5py
import numpy as np

# What a process may take on top of its parent, in bytes, and how long it may run.
MAX_ADDRESSES, MAX_MEMORY = 6 * 10**9, 2 * 10**9
MAX_SECONDS = 60
DONE, REFUSED = 0, 2
NOT_FINITE = 99
# inotify's events: a file is read, written or opened.
_IN_TOUCHED = 0x1 | 0x2 | 0x20


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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of an attempt.

    Args:
        status: int. As of `subprocess`: negative for a signal.
        stderr: str.
        seconds: float.
        memory: int. Bytes on top of the parent's.
        timed_out: bool.
    """

    status: int
    stderr: str
    seconds: float
    memory: int
    timed_out: bool


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
                again = dataclasses.replace(attempt, kill=None, expected=(DONE,))
                found, _ = self._judged(again, killed=True)
                found = [f"in the second run: {violation}" for violation in found]
        return attempt, status, found

    def _judged(self, attempt, killed=False):
        """Runs an attempt; returns what it violated, and its `Outcome`."""
        with _Watch(self.outside) as watch:
            inside = contents(self.here)
            outside = contents(self.root, without=("here",))
            outcome = self._run(attempt)
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
        changed = _changed(inside, contents(self.here))
        # Killed processes leave hidden files, and the next one removes them.
        strays = [
            path
            for path in changed
            if not _within(path, allowed) and not (killed and not _exists(path))
        ]
        if strays:
            found.append(f"it changed {', '.join(sorted(strays)[:3])}")
        if killed and (left := [p for p in contents(self.here) if _is_stray(p)]):
            found.append(f"there is still {left[0]}")
        if outcome.status == DONE:
            found += [f"{x} is not finite" for x in attempt.outputs if _is_broken(x)]
        return found, outcome

    def _run(self, attempt):
        # A copy of this process begins without the pages of files.
        inherited = _pages(1) - _pages(2)
        start = time.monotonic()
        # A pipe, since files have a limit where the disk is full.
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        pid = _forked(lambda: _act(attempt, writing, self.tmp))
        os.close(writing)
        sent = timed_out = False
        messages = b""
        while True:
            messages += _available(reading)
            found, status, usage = os.wait4(pid, os.WNOHANG)
            seconds = time.monotonic() - start
            if found:
                break
            if attempt.kill and not sent and seconds >= attempt.kill[1]:
                os.kill(pid, attempt.kill[0])
                sent = True
            if not timed_out and seconds > self.max_seconds:
                os.kill(pid, signal.SIGKILL)
                timed_out = True
            time.sleep(0.002)
        messages += _available(reading)
        os.close(reading)
        return Outcome(
            os.waitstatus_to_exitcode(status),
            messages.decode(errors="replace"),
            seconds,
            1024 * usage.ru_maxrss - inherited,
            timed_out,
        )


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


def _exists(path):
    return os.path.lexists(path)


def _is_stray(path):
    return any(part.startswith(".") for part in pathlib.PurePath(path).parts)


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


# === Processes ===


def _forked(function):
    """Calls a function in a copy of this process; returns the number of the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python and JAX warn that other threads may hold locks. None is running.
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = function()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        # Python's own end would also run what belongs to the parent.
        os._exit(status)


def _available(descriptor):
    """Returns what a pipe holds."""
    try:
        return os.read(descriptor, 2**20)
    except BlockingIOError:
        return b""


def _act(attempt, messages, tmp):
    """Runs in the child; returns the exit status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(messages, 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, errors="replace")
    os.environ["TMPDIR"], os.environ["COLUMNS"] = str(tmp), "200"
    tempfile.tempdir = str(tmp)
    warnings.simplefilter("ignore")
    faulthandler.disable()
    # Threads of the parent's pool do not exist here.
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    limit = _pages(0) + MAX_ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if attempt.max_file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (attempt.max_file_size,))
    try:
        return _call(attempt.call) if attempt.call else _command(attempt.arguments)
    except SystemExit as error:
        return error.code or DONE


def _pages(column):
    """Returns bytes of this process: 0 its addresses, 1 its memory, 2 that of files."""
    pages = pathlib.Path("/proc/self/statm").read_text().split()
    return int(pages[column]) * resource.getpagesize()


def _command(arguments):
    from keras_regen.cli import main

    main([os.fspath(x) if isinstance(x, os.PathLike) else str(x) for x in arguments])


def _call(function):
    try:
        result = function()
    except ValueError as error:
        print("keras-regen:", " ".join(str(error).split()), file=sys.stderr)
        return REFUSED
    arrays = result if isinstance(result, tuple | list) else (result,)
    finite = all(np.all(np.isfinite(array)) for array in arrays if array is not None)
    return DONE if finite else NOT_FINITE


class _Watch:
    """Sees whether files in a directory are opened, for the length of a block.

    Args:
        directory: path.
    """

    def __init__(self, directory):
        self._directory = directory

    def __enter__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify cannot be used")
        for path in self._directory.iterdir():
            libc.inotify_add_watch(self._descriptor, bytes(path), _IN_TOUCHED)
        return self

    def touched(self):
        """Returns whether a file was opened, read or written."""
        try:
            event = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return False
        return bool(struct.unpack_from("iI", event)[1] & _IN_TOUCHED)

    def __exit__(self, *exception):
        os.close(self._descriptor)
