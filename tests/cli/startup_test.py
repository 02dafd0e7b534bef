"""The modules that the command line imports, each in a process of its own."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_regen
from keras_regen.backend import BACKENDS

# Runs the commands in turn, then prints which of the modules are imported.
PROCESS = """
import json, sys
from keras_regen.cli import main

for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as end:
        status = end.code or 0
there = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps([status, there]))
"""


def imported(*commands):
    """Returns the last status, and which of Keras and the backends are imported."""
    root = os.path.dirname(os.path.dirname(keras_regen.__file__))
    asked = json.dumps(commands), json.dumps(["keras", *BACKENDS])
    process = subprocess.run(
        [sys.executable, "-c", PROCESS, *asked],
        env={**os.environ, "PYTHONPATH": root, "KERAS_BACKEND": keras.config.backend()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    status, there = json.loads(process.stdout.splitlines()[-1])
    return status, set(there)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["reconstruct", "--help"], 0),
        (["nonsense"], 2),
        (["encode", "--dtype", "int4"], 2),
        (["reconstruct", "missing.mp4"], 2),
        (["encode", "missing.mp4"], 2),
        (["encode", "missing.mp4", "--preset", "missing"], 2),
        (["encode", "--dataset", "missing", "-o", "z"], 2),
        (["encode", "in.npy", "--max-memory", "much"], 2),
        (["decode", "missing.h5"], 2),
        (["export", "missing", "-o", "1"], 2),
        (["info", "missing.h5"], 2),
        (["info", "missing"], 2),
    ],
)
def test_help_and_errors_come_before_keras(arguments, status):
    np.save("in.npy", np.zeros((5, 16, 16, 3), "uint8"))
    assert imported(arguments) == (status, set())


def test_only_the_backend_of_choice_is_imported(preset):
    np.save("in.npy", np.zeros((5, 16, 16, 3), "uint8"))
    commands = (
        ["info"],
        ["info", str(preset)],
        ["encode", "in.npy", "-o", "out.h5", "--preset", str(preset)],
        ["decode", "out.h5", "-o", "out.npy", "--preset", str(preset)],
        ["reconstruct", "in.npy", "-o", "both.npy", "--preset", str(preset)],
    )
    assert imported(*commands) == (0, {"keras", keras.config.backend()})
    assert np.load("both.npy").shape == (5, 16, 32, 3)
