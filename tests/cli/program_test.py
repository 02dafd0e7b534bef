import contextlib
import dataclasses
import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import warnings

import keras
import numpy as np
import pytest

import keras_regen
from keras_regen.atomic_output import AtomicOutput
from keras_regen.cli.app import _unwinding_at_signals, app
from keras_regen.codec import VideoCodec
from keras_regen.video import VideoReader
from tests.cli.conftest import WIDTH, assert_user_error

COMMANDS = [
    command.callback.__name__.replace("_", "-") for command in app.registered_commands
]


class TestProgram:
    def test_version(self, run):
        assert run("--version") == (0, f"keras-regen {keras_regen.__version__}\n", "")

    @pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
    def test_help(self, run, arguments):
        status, stdout, stderr = run(*arguments)
        assert (status, stderr) == (0, "")
        assert "reconstruct" in stdout and "info" in stdout

    def test_warnings_are_one_line(self, run):
        run("--version")
        record = logging.makeLogRecord({"msg": "Skipping %s", "args": ("a\n\x1b[1m",)})
        assert logging.lastResort.format(record) == r"Skipping a \x1b[1m"
        line = warnings.formatwarning(UserWarning("a\nb"), UserWarning, "file", 1)
        assert line == "a b\n"

    def test_too_little_memory_is_one_line(self, run, monkeypatch):
        def allocate():
            np.empty(2**60, "uint8")

        monkeypatch.setattr(app, "registered_commands", [])
        app.command("allocate")(allocate)
        assert_user_error(run("allocate"), "see --max-memory: Unable to allocate 1.00")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_of_every_command(self, run, command, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        status, stdout, stderr = run(command, "-h")
        assert (status, stderr) == (0, "")
        assert "-h, --help" in stdout
        assert max(map(len, stdout.splitlines())) <= 80
        # Its first line is whole in the list of commands.
        (line,) = re.findall(rf"^  {command} .*", run("-h")[1], re.M)
        assert line.split(maxsplit=1)[1] in stdout

    def test_completion(self, preset):
        # What the shell's script does.
        variables = {
            "_KERAS_REGEN_COMPLETE": "complete_bash",
            "COMP_WORDS": "keras-regen encode --preset regen_small_8x8x1",
            "COMP_CWORD": "3",
        }
        result = self._process(**variables)
        assert result.stdout.split() == ["regen_small_8x8x16"]

    def test_unknown_command(self, run):
        assert_user_error(run("nonsense"), "nonsense")

    def test_in_a_process_of_its_own(self, preset, video):
        result = self._process("reconstruct", video, "--preset", preset)
        # Not even TensorFlow prints anything.
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(f"Backend: {keras.config.backend()}, on ")
        with VideoReader("in_regen.mp4") as reader:
            assert reader.width == 2 * WIDTH

    def test_unknown_backend(self, video):
        result = self._process("reconstruct", video, KERAS_BACKEND="theano")
        assert_user_error(
            (result.returncode, result.stdout, result.stderr),
            "Received: KERAS_BACKEND=theano",
        )
        assert os.listdir() == ["in.mp4"]

    @pytest.mark.parametrize(
        "command, signum",
        [
            ("encode", signal.SIGINT),
            ("decode", signal.SIGTERM),
            ("reconstruct", signal.SIGINT),
            ("reconstruct", signal.SIGKILL),
        ],
    )
    def test_killed(self, run, preset, tmp_path, command, signum):
        # Too long to end before the signal; pages never written take no disk.
        np.lib.format.open_memmap("in.npy", "w+", "uint8", (10**5, 64, 64, 3))
        if command == "decode":
            codec = VideoCodec(keras_regen.Regen.from_preset(preset))
            latents = codec.encode(np.zeros((9, 64, 64, 3), "uint8"))
            array = np.tile(latents.array, (500, 1, 1, 1))
            num_frames = len(latents) * len(array) // len(latents.array)
            dataclasses.replace(latents, array=array, num_frames=num_frames).save(
                "in.h5"
            )

        def size(name):
            # The check of OUT makes a file and removes it again.
            with contextlib.suppress(FileNotFoundError):
                return os.stat(name).st_size
            return -1

        output = {"encode": "out.h5"}.get(command, "out.npy")
        pathlib.Path(output).write_bytes(b"what was there")
        before = set(os.listdir())
        process = self._start(
            command,
            "in.h5" if command == "decode" else "in.npy",
            *("-o", output, "--preset", preset, "--overwrite"),
        )
        # Wait until it writes; HDF5 keeps so few latents in memory until the end.
        min_size = 0 if command == "encode" else 1000
        while not any(size(name) >= min_size for name in set(os.listdir()) - before):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        # Into what JAX compiles in a thread, which crashes where Python ends meanwhile.
        time.sleep(0.3)
        process.send_signal(signum)
        _, stderr = process.communicate(timeout=60)
        assert pathlib.Path(output).read_bytes() == b"what was there"
        if signum != signal.SIGKILL:
            assert (process.returncode, stderr) == (128 + signum, "")
        else:
            assert process.returncode == -signal.SIGKILL
            AtomicOutput.check(output, "next output")
        assert set(os.listdir()) == before

    def test_importing_leaves_sigterm_alone(self, run):
        run("--version")
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    @pytest.mark.parametrize(
        "signum, error",
        [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)],
    )
    def test_signals_where_exceptions_are_ignored(self, signum, error):
        class Interrupted:
            def __del__(self):
                signal.raise_signal(signum)

        # Processes in the background ignore it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(error) as caught, _unwinding_at_signals():
                Interrupted()
                time.sleep(10)
        finally:
            signal.signal(signal.SIGINT, before)
        if error is SystemExit:
            assert caught.value.code == 143

    def test_an_exception_that_a_signal_became(self):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(SystemExit) as caught, _unwinding_at_signals():
                try:
                    signal.raise_signal(signal.SIGINT)
                except KeyboardInterrupt:
                    raise AttributeError("what TensorFlow makes of it") from None
            assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
        finally:
            signal.signal(signal.SIGINT, before)
        assert caught.value.code == 130

    @pytest.mark.parametrize("dataset", [False, True])
    def test_a_full_disk(self, preset, tmp_path, dataset):
        noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), "uint8")
        np.save("in.npy", noise)
        source = ("in.npy", "--overwrite")
        if dataset:
            source = ("--dataset", "in.npy", "-o", "z")
        output = pathlib.Path("z/in.npy.h5" if dataset else "in.h5")
        if not dataset:
            output.write_bytes(b"what was there")
        result = self._process(
            *("encode", *source, "--preset", preset, "--dtype", "float32"),
            max_blocks=8,
        )
        assert_user_error(
            (result.returncode, result.stdout, result.stderr),
            "Cannot write the latents: File too large",
        )
        files = {p.name for p in tmp_path.rglob("*") if p.is_file()}
        assert files == {"in.npy"} if dataset else {"in.npy", "in.h5"}
        assert dataset or output.read_bytes() == b"what was there"

    def _process(self, *arguments, **variables):
        process = self._start(*arguments, **variables)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(
            process.args, process.returncode, stdout, stderr
        )

    def _start(self, *arguments, max_blocks="unlimited", **variables):
        root = os.path.dirname(os.path.dirname(keras_regen.__file__))
        variables = {"KERAS_BACKEND": keras.config.backend(), **variables}
        program = [sys.executable, "-m", "keras_regen", *map(str, arguments)]
        limited = f'ulimit -f {max_blocks}; exec "$@"'
        # A child ignores what its parent does, as in the background of a shell.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                ["bash", "-c", limited, "bash", *program],
                env={**os.environ, "PYTHONPATH": root, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
