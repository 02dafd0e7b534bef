"""Processes in which inputs are tried, and what is seen of them."""

import contextlib
import ctypes
import dataclasses
import faulthandler
import os
import pathlib
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings

import numpy as np

# Bytes that a process may take on top of its parent; those of addresses are many more
# than those of memory.
MAX_ADDRESSES = 6 * 10**9
DONE, REFUSED = 0, 2
NOT_FINITE = 99
# inotify's events: a file is read, written or opened.
_IN_TOUCHED = 0x1 | 0x2 | 0x20


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


def run(attempt, tmp, max_seconds):
    """Runs an attempt in a copy of this process.

    Args:
        attempt: an `Attempt`.
        tmp: path of the directory of temporary files.
        max_seconds: float. After this, the process is killed.

    Returns:
        `Outcome`.
    """
    # A copy of this process begins without the pages of files.
    inherited = _pages(1) - _pages(2)
    start = time.monotonic()
    # A pipe, since files have a limit where the disk is full.
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    pid = _forked(lambda: _act(attempt, writing, tmp))
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
        if not timed_out and seconds > max_seconds:
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


class Watch:
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
