"""The tools that are cheap to run."""

import os
import pathlib
import signal
import time

import keras
import numpy as np
import PIL.Image
import pytest

from tests.models.conftest import awaken, make_regen
from tests.video.videos import CLIP, read
from tools.attack.attempt import Arena, Attempt
from tools.attack.registry import KINDS
from tools.attack.sweep import sweep
from tools.attack.toys import Toys
from tools.draw_readme import LABEL, draw


def test_draw_readme(tmp_path):
    regen = make_regen()
    awaken(regen)
    regen.save_to_preset(tmp_path / "preset")
    video = read(CLIP)[:6, :40, :48]
    draw(tmp_path / "out.webp", video, [tmp_path / "preset"])
    with PIL.Image.open(tmp_path / "out.webp") as picture:
        assert picture.is_animated
        assert picture.n_frames == len(video)
        assert picture.size == (2 * 48, LABEL + 40)


# The tool forks processes, which only PyTorch survives.
on_pytorch = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the tool runs on PyTorch"
)


@on_pytorch
def test_attack(tmp_path):
    (tmp_path / "arena").mkdir()
    arena = Arena(tmp_path / "arena")
    names = ["options", "damaged_latents", "damaged_videos", "values_decoded"]
    rows, violations = sweep(names, Toys(arena), arena, count=1)
    assert violations == []
    assert [row[:2] for row in rows] == [[name, 1] for name in names]
    assert set(names) < set(KINDS)


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def hang():
    time.sleep(60)


def take_memory():
    # Far above the limit: the kernel's count of a process's memory is coarse.
    np.ones(1_500_000_000, "uint8")


def raise_other():
    raise KeyError("x")


def raise_without_name():
    raise ValueError("something is wrong")


def leave():
    pathlib.Path("stray").touch()
    raise ValueError("in.mp4 is wrong")


def read_outside():
    pathlib.Path("../outside/secret").read_bytes()


def write_outside():
    pathlib.Path("../tmp/x").touch()


def make_nan():
    return np.array([np.nan])


@on_pytorch
@pytest.mark.parametrize(
    ("call", "violation"),
    [
        (crash, "its status is -11"),
        (hang, "it did not end in"),
        (take_memory, "it took 1."),
        (raise_other, "its status is 1: KeyError: 'x'"),
        (raise_without_name, "its error does not name the input"),
        (leave, "it changed stray"),
        (read_outside, "it opened a file outside"),
        (write_outside, "it changed something outside"),
        (make_nan, "a value is not finite"),
    ],
)
def test_rules_of_the_attack(tmp_path, call, violation):
    (tmp_path / "arena").mkdir()
    seconds = 0.5 if call is hang else 60
    arena = Arena(tmp_path / "arena", seconds, max_memory=500_000_000)
    (arena.outside / "secret").write_bytes(b"secret")
    attempt = Attempt("a fake", call=call, names=("in.mp4",))
    _, _, (found, *others) = arena.violations(lambda: attempt)
    assert found.startswith(violation) and not others
