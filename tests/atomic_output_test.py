import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

import keras_regen
from keras_regen import atomic_output
from keras_regen.atomic_output import AtomicOutput, OutputError

ROOT = pathlib.Path(keras_regen.__file__).parents[1]
# Makes an output, says so and waits.
PROCESS = """
import sys
from keras_regen.atomic_output import AtomicOutput
output = AtomicOutput(sys.argv[1], "output", directory=sys.argv[2] == "True")
print(output.temporary, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start():
    """Starts processes that hold an output; returns each with its temporary path."""
    processes = []

    def start(path, directory=False):
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(path), str(directory)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process, pathlib.Path(process.stdout.readline().strip())

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_appears_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with AtomicOutput(path, "text") as output:
        output.temporary.write_text("after")
        assert path.read_text() == "before"
        # FFmpeg needs the suffix, and listings skip hidden names.
        assert output.temporary.suffix == ".txt"
        assert output.temporary.name.startswith(".")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("directory", [False, True])
def test_an_error_leaves_nothing(tmp_path, directory):
    with (
        pytest.raises(OutputError, match="Cannot write the text: No space left"),
        AtomicOutput(tmp_path / "a", "text", directory) as output,
    ):
        if directory:
            (output.temporary / "part").write_text("half")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


class TestDestination:
    @pytest.fixture(params=["fifo", "socket", "device", "link to a device"])
    def special(self, request, tmp_path, monkeypatch):
        # The path of a socket is at most 108 characters long.
        monkeypatch.chdir(tmp_path)
        path = pathlib.Path("special")
        if request.param == "fifo":
            os.mkfifo(path)
            yield path
        elif request.param == "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
                yield path
        elif request.param == "device":
            yield pathlib.Path(os.devnull)
        else:
            path.symlink_to(os.devnull)
            yield path

    def test_is_no_file(self, special):
        before = special.stat()
        with pytest.raises(OutputError, match="it is not a regular file"):
            AtomicOutput(special, "text")
        assert special.stat().st_mode == before.st_mode
        with pytest.raises(OutputError, match="it is not a directory"):
            AtomicOutput(special, "images", directory=True)

    def test_is_a_directory(self, tmp_path):
        with pytest.raises(OutputError, match="it is a directory"):
            AtomicOutput(tmp_path, "text")
        (tmp_path / "a").touch()
        with pytest.raises(OutputError, match="it is a file"):
            AtomicOutput(tmp_path / "a", "images", directory=True)
        with pytest.raises(OutputError, match="the directory is not empty"):
            AtomicOutput(tmp_path, "images", directory=True)

    def test_is_the_current_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(OutputError, match="current directory. Received: path=."):
            AtomicOutput(".", "images", directory=True)

    @pytest.mark.parametrize("is_there", [False, True])
    def test_is_a_link_to_a_directory(self, tmp_path, is_there):
        link, target = tmp_path / "link", tmp_path / "target"
        link.symlink_to(target)
        if is_there:
            target.mkdir()
        with AtomicOutput(link, "images", directory=True) as output:
            (output.temporary / "a").touch()
        assert link.is_symlink() and (target / "a").exists()
        assert sorted(tmp_path.iterdir()) == [link, target]

    @pytest.mark.parametrize("name", ["nowhere/a.txt", "a" * 300, "file/a.txt"])
    def test_cannot_be_made(self, tmp_path, name):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="Received: path="):
            AtomicOutput.check(tmp_path / name, "text")
        assert os.listdir(tmp_path) == ["file"]

    def test_check_leaves_nothing(self, tmp_path):
        AtomicOutput.check(tmp_path / "a.txt", "text")
        assert list(tmp_path.iterdir()) == []


class TestLeftovers:
    @pytest.mark.parametrize("directory", [False, True])
    @pytest.mark.parametrize("name", ["a.txt", "a[x]*", ".hidden.MP4"])
    def test_of_a_killed_process_are_removed(self, start, tmp_path, name, directory):
        process, leftover = start(tmp_path / name, directory)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert leftover.exists()
        # Another destination is none of its business.
        AtomicOutput.check(tmp_path / "other", "text")
        assert leftover.exists()
        AtomicOutput.check(tmp_path / name, "text")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("directory", [False, True])
    def test_of_a_living_process_stay(self, start, tmp_path, directory):
        _, temporary = start(tmp_path / "a", directory)
        AtomicOutput.check(tmp_path / "a", "text", directory)
        assert list(tmp_path.iterdir()) == [temporary]

    def test_of_another_machine_stay_for_a_day(self, start, tmp_path, monkeypatch):
        process, leftover = start(tmp_path / "a")
        process.kill()
        process.wait()
        monkeypatch.setattr(atomic_output, "_machine", lambda: "0" * 8)
        AtomicOutput.check(tmp_path / "a", "text")
        assert leftover.exists()
        yesterday = leftover.stat().st_mtime - 25 * 3600
        os.utime(leftover, (yesterday, yesterday))
        AtomicOutput.check(tmp_path / "a", "text")
        assert not leftover.exists()

    def test_are_not_known_without_locks(self, start, tmp_path, monkeypatch):
        process, leftover = start(tmp_path / "a")
        process.kill()
        process.wait()

        def flock(*args):
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(atomic_output.fcntl, "flock", flock)
        with AtomicOutput(tmp_path / "a", "text") as output:
            output.temporary.write_text("whole")
        assert leftover.exists()
        assert (tmp_path / "a").read_text() == "whole"

    @pytest.mark.parametrize("directory", [False, True])
    def test_nothing_is_held_open_on_windows(self, tmp_path, monkeypatch, directory):
        monkeypatch.setattr(atomic_output, "fcntl", None)
        os_open = os.open

        def open_new(path, flags, *args):
            # It opens no directory, and renames nothing that is open.
            assert flags & os.O_CREAT
            return os_open(path, flags, *args)

        monkeypatch.setattr(os, "open", open_new)
        for _ in range(2):
            with AtomicOutput(tmp_path / "a", "output", directory):
                pass
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def test_that_a_link_only_looks_like(self, tmp_path):
        (tmp_path / "precious").write_text("precious")
        name = f".a.{atomic_output._machine()}-01234567.part"
        (tmp_path / name).symlink_to("precious")
        AtomicOutput.check(tmp_path / "a", "text")
        assert (tmp_path / "precious").read_text() == "precious"
