"""Outputs that appear whole or not at all."""

import pathlib
import secrets
import shutil


class AtomicOutput:
    """A file or directory written beside its destination, and renamed at the end.

    Until `commit`, and after anything that prevents it, whatever was at the destination
    stays as it was: an error and Ctrl-C remove what was begun, and a killed process
    leaves it under a hidden name. As a context it commits where the block ends well,
    and an OSError in it becomes the ValueError that `error` makes.

    Args:
        path: path of the destination.
        what: str. What is written, for messages.
        directory: bool. Whether it is a directory, which must be new or empty. Defaults
            to `False`.

    Attributes:
        temporary: path to write to. It exists.

    Raises:
        ValueError: if nothing can be written there.
    """

    def __init__(self, path, what, directory=False):
        self.path = pathlib.Path(path)
        self.what = what
        if self.path.is_dir() and not directory:
            raise self.error("it is a directory")
        if directory and self.path.exists():
            if not self.path.is_dir():
                raise self.error("it is a file")
            if any(self.path.iterdir()):
                raise self.error("the directory is not empty")
        # Beside the destination, so that the last step is a rename on one file system.
        self.temporary = self.path.with_name(
            f".{self.path.stem}-{secrets.token_hex(4)}{self.path.suffix.lower()}"
        )
        try:
            if directory:
                self.temporary.mkdir()
            else:
                self.temporary.touch(exist_ok=False)
        except OSError as error:
            raise self.error(error.strerror) from error

    @staticmethod
    def remove_leftovers(path):
        """Removes what killed processes left beside a path, while none writes."""
        path = pathlib.Path(path)
        for leftover in path.parent.glob(f".{path.stem}-????????{path.suffix}"):
            leftover.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        try:
            if kind is None:
                self.commit()
        finally:
            self.discard()
        if isinstance(error, OSError):
            raise self.error(error.strerror or str(error)) from error

    def commit(self):
        """Puts what was written in its place."""
        try:
            self.temporary.replace(self.path)
        except OSError as error:
            raise self.error(error.strerror) from error

    def discard(self):
        """Removes what was written and not committed."""
        if self.temporary.is_dir():
            shutil.rmtree(self.temporary)
        else:
            self.temporary.unlink(missing_ok=True)

    def error(self, reason):
        """The ValueError to raise where writing fails."""
        return ValueError(
            f"Cannot write the {self.what}: {reason}. Received: path={self.path}"
        )
