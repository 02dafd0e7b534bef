"""Output files and directories that appear complete or not at all."""

import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from keras_regen.types import StrPath

try:
    import fcntl
except ImportError:
    # Windows. Leftovers are not removed there, since nothing shows whether their
    # process is dead; and no file is kept open, since Windows cannot rename an open
    # file.
    fcntl = None  # type: ignore[assignment]

# Another machine's locks may not be visible here. Nothing writes for a day without
# changing its output.
_DEAD_SECONDS = 24 * 3600
_BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")


class OutputError(ValueError):
    """An output cannot be written."""


class AtomicOutput:
    """A file or directory that is written next to its destination and then renamed.

    Until `commit`, the destination stays as it was. An error and Ctrl-C remove the
    unfinished output. A killed process leaves it, under a hidden name; the next output
    with the same destination removes it. A `with` block commits if it ends without an
    error, and turns an OSError into the `OutputError` that `error` makes.

    Args:
        path: path of the destination.
        what: str. The name of the output, for messages.
        directory: bool. Whether the output is a directory, which must be new or empty.
            Defaults to `False`.

    Attributes:
        temporary: path to write to. It exists.

    Raises:
        OutputError: if the destination cannot be written, or is a device, a pipe or
            another thing that is not a file.
    """

    def __init__(self, path: StrPath, what: str, directory: bool = False) -> None:
        self.path = pathlib.Path(path)
        if directory and self.path.is_symlink():
            # No directory can be renamed to the name of a link.
            self.path = self.path.resolve()
        self.what = what
        try:
            if reason := _occupied(self.path, directory):
                raise self.error(reason)
            _remove_leftovers(self.path)
            self.temporary, self._lock = _create(self.path, directory)
        except OSError as error:
            raise self.error(error_reason(error)) from error

    @classmethod
    def check(cls, path: StrPath, what: str, directory: bool = False) -> None:
        """Raises `OutputError` unless the destination can be written; leaves it."""
        cls(path, what, directory).discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.discard()
        if isinstance(error, OSError):
            raise self.error(error_reason(error)) from error

    def commit(self) -> None:
        """Moves the output to its destination."""
        try:
            self.temporary.replace(self.path)
        except OSError as error:
            raise self.error(error_reason(error)) from error

    def discard(self) -> None:
        """Removes the output, unless it was committed."""
        _remove(self.temporary)
        self._lock.close()

    def error(self, reason: str) -> OutputError:
        """Returns the `OutputError` to raise when writing fails."""
        return OutputError(
            f"Cannot write the {self.what}: {reason}. Received: path={self.path}"
        )


@contextlib.contextmanager
def as_os_error(*kinds: type[Exception]) -> Iterator[None]:
    """Turns errors with which a library fails to write into OSError.

    `AtomicOutput` then tells them as it tells Python's own.

    Args:
        *kinds: types of exception.
    """
    try:
        yield
    except kinds as error:
        raise OSError(str(error)) from error


def error_reason(error: Exception | str) -> str:
    """Returns the system's message without the error number and the path."""
    return getattr(error, "strerror", None) or str(error)


def _occupied(path, directory):
    """Returns why an output cannot replace what is at a path, or None."""
    if not path.exists():
        return None
    mode = path.stat().st_mode
    if not directory:
        if stat.S_ISDIR(mode):
            return "it is a directory"
        return None if stat.S_ISREG(mode) else "it is not a regular file"
    if not stat.S_ISDIR(mode):
        return "it is a file" if stat.S_ISREG(mode) else "it is not a directory"
    if any(path.iterdir()):
        return "the directory is not empty"
    # Who works in it would go on in what is removed.
    return "it is the current directory" if path.samefile(os.curdir) else None


# === Temporary files ===


class _Lock:
    """A lock that ends with the process, however that ends.

    It belongs to an open file, so neither process numbers nor containers matter.

    Args:
        path: path of a file or directory.

    Raises:
        OSError: if the file cannot be opened.
        BlockingIOError: if another open file has the lock.
    """

    def __init__(self, path):
        self._descriptor, self.is_held = -1, False
        if fcntl is None:
            return
        # NFS locks only what is open for writing, which a directory cannot be.
        flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
        self._descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.is_held = True
        except BlockingIOError:
            self.close()
            raise
        except OSError:
            # The file system has no locks.
            pass

    def seconds_since_change(self):
        return time.time() - os.fstat(self._descriptor).st_mtime

    def is_of(self, path):
        """Whether the locked file is the one at a path."""
        if fcntl is None:
            # Nobody removed it as a leftover.
            return True
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(path))
        except FileNotFoundError:
            return False

    def close(self):
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _create(path, directory):
    """Makes a file or directory next to a path; returns its path and its `_Lock`."""
    while True:
        # In the same folder, so that the last step is a rename within a file system.
        name = f".{path.stem}.{_machine()}-{secrets.token_hex(4)}.part"
        temporary = path.with_name(name + path.suffix.lower())
        if directory:
            temporary.mkdir()
        else:
            temporary.touch(exist_ok=False)
        # Until it is locked, another process takes it for a leftover.
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            lock = _Lock(temporary)
            if lock.is_of(temporary):
                return temporary, lock
            lock.close()


def _remove_leftovers(path):
    """Removes what dead processes left next to a path."""
    stem, suffix = re.escape(path.stem), re.escape(path.suffix.lower())
    pattern = re.compile(rf"\.{stem}\.([0-9a-f]{{8}})-[0-9a-f]{{8}}\.part{suffix}")
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            if match := pattern.fullmatch(name):
                _remove_if_dead(path.with_name(name), match[1] == _machine())


def _remove_if_dead(path, is_of_this_machine):
    # What others removed meanwhile, or may not be removed, stays as it is.
    with contextlib.suppress(OSError):
        if stat.S_IFMT(path.lstat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            return
        with contextlib.closing(_Lock(path)) as lock:
            seconds = 0 if is_of_this_machine else _DEAD_SECONDS
            if lock.is_held and lock.seconds_since_change() >= seconds:
                _remove(path)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@functools.cache
def _machine():
    """Returns 8 hexadecimal digits that processes with common locks share."""
    # Containers on one machine have different names, but one kernel.
    has_id = _BOOT_ID.exists()
    name = _BOOT_ID.read_text() if has_id else platform.node()
    return hashlib.sha256(name.encode()).hexdigest()[:8]
