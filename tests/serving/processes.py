"""Subprocesses of the tests."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def environment():
    """Returns their environment, which silences TensorFlow's log of CPU features."""
    # TensorFlow imports Keras, and Keras its backend. Triton, of PyTorch's CUDA build,
    # ends a process that has imported TensorFlow: each registers LLVM's options.
    return os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}


def run_python(*arguments):
    """Runs Python from the repository's root and waits for its end."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


@contextlib.contextmanager
def serve(model_dir, *options):
    """Starts a server of a model, and stops it when the block ends.

    Args:
        model_dir: path of the directory of versions.
        *options: str. More arguments of `tests.serving.server`.

    Yields:
        Dict that the server prints: the ports `grpc` and `rest`, `version`, and
        `warmed_up`, the number of warm-up requests.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.server", str(model_dir), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    with process:
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("The server did not start")
            yield json.loads(line)
        finally:
            # The server ends when its input ends.
            process.stdin.close()
            process.wait(timeout=30)
