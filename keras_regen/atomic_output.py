"""Output files and directories that appear complete or not at all."""

import pathlib
import secrets
import shutil


class AtomicOutput:
    """A file or directory that is written next to its destination and then renamed.

    Until `commit`, the destination stays as it was. An error and Ctrl-C remove the
    unfinished output; a killed process leaves it under a hidden name. A `with` block
    commits if it ends without an error, and turns an OSError into the ValueError that
    `error` makes.

    Args:
        path: path of the destination.
        what: str. The name of the output, for messages.
        directory: bool. Whether the output is a directory, which must be new or empty.
            Defaults to `False`.

    Attributes:
        temporary: path to write to. It exists.

    Raises:
        ValueError: if the destination cannot be written.
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
        # In the same folder, so that the last step is a rename within a file system.
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
        """Removes what killed processes left next to a path that no process writes."""
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
        """Moves the output to its destination."""
        try:
            self.temporary.replace(self.path)
        except OSError as error:
            raise self.error(error.strerror) from error

    def discard(self):
        """Removes the output, unless it was committed."""
        if self.temporary.is_dir():
            shutil.rmtree(self.temporary)
        else:
            self.temporary.unlink(missing_ok=True)

    def error(self, reason):
        """Returns the ValueError to raise when writing fails."""
        return ValueError(
            f"Cannot write the {self.what}: {reason}. Received: path={self.path}"
        )
