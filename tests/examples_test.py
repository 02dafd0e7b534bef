import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_regen import Regen
from keras_regen.metrics import psnr
from keras_regen.models import preset_metadata
from keras_regen.video import VideoReader, bundled_clip
from tests.video.videos import CLIP, write

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
K = 8


# `reconstruct.py` and `fit.py` run on every backend, and so do the tests of what the
# others call.
on_one_backend = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="slow; one backend is enough"
)

# Other tests have imported Keras, so an example needs a process of its own to show that
# it runs where `KERAS_BACKEND` is not set.
PROCESS = """
import pathlib, runpy, sys
example, clip = sys.argv[1:]
if clip:
    import keras_regen.video
    keras_regen.video.bundled_clip = lambda: pathlib.Path(clip)
runpy.run_path(example, run_name="__main__")
"""


@pytest.fixture
def run(tmp_path):
    """Runs an example in an empty directory and returns its output."""

    def run(name, clip=""):
        home = tmp_path / "home"
        home.mkdir()
        (home / "keras.json").write_text(
            json.dumps({"backend": keras.backend.backend()})
        )
        environment = {
            **os.environ,
            "PYTHONPATH": str(EXAMPLES.parent),
            "KERAS_HOME": str(home),
        }
        environment.pop("KERAS_BACKEND", None)
        process = subprocess.run(
            [sys.executable, "-c", PROCESS, EXAMPLES / name, clip],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return process.stdout

    return run


def read(path):
    with VideoReader(path) as reader:
        return reader.fps, np.stack(list(reader))


def test_every_example_is_tested():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    # tests/export/composition_test.py has an export for it.
    names.remove("tf_keras_head")
    tests = {name.removeprefix("test_") for name in globals()}
    assert names and names <= tests


@on_one_backend
def test_the_package_comes_before_keras():
    # It chooses an installed backend, and Keras alone would want TensorFlow.
    root = EXAMPLES.parent
    blocks = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.S)
    texts = {path.name: path.read_text() for path in EXAMPLES.glob("*.py")}
    for name, text in {**texts, "README.md": blocks[0]}.items():
        first = re.search(r"^(?:import|from) (keras\w*)", text, re.M)
        assert first[1] == "keras_regen", name


def test_reconstruct(run, tmp_path):
    output = run("reconstruct.py")
    assert "(9, 128, 128, 3) -> latents (2, 16, 16, 8)" in output
    printed = [float(score) for score in re.findall(r"PSNR ([\d.]+) dB", output)]

    fps, video = read(tmp_path / "reconstruct.mp4")
    assert fps == 24
    assert video.shape == (K + 1, 128, 3 * 128, 3)
    original, one_step, four_steps = np.split(video, 3, axis=2)
    crop = read(bundled_clip())[1][: K + 1, 56:184, 148:276]
    assert psnr(crop, original).min() > 30
    # The file is compressed, so its scores are only close to the printed ones.
    written = [psnr(original, frames).mean() for frames in (one_step, four_steps)]
    np.testing.assert_allclose(written, printed, atol=0.5)
    assert min(printed) > 15
    assert not np.array_equal(one_step, four_steps)


@on_one_backend
def test_slow_motion(run, tmp_path):
    run("slow_motion.py")
    fps, normal = read(tmp_path / "normal_motion.mp4")
    slow_fps, slow = read(tmp_path / "slow_motion.mp4")
    assert fps == slow_fps == 24
    assert normal.shape == (K + 1, 96, 96, 3)
    assert slow.shape == (4 * K + 1, 96, 96, 3)
    assert psnr(normal, slow[::4]).min() > 30
    # Half a frame later, less has moved than a whole frame later.
    start, half, whole = slow[:-1:4], slow[2::4], slow[4::4]
    assert psnr(start, half).mean() > psnr(start, whole).mean()


@on_one_backend
def test_whole_video(run, tmp_path):
    video = read(CLIP)[1][:26, 32:96, 64:160]
    output = run("whole_video.py", clip=write(tmp_path / "clip.mp4", video))
    assert "26 frames -> 3 chunks, (6, 8, 12, 8)" in output
    assert output.endswith("96/96\nslow_second.mp4\n")
    fps, slow = read(tmp_path / "slow_second.mp4")
    assert fps == 25
    assert slow.shape == (96, 64, 96, 3)
    scores = psnr(video[:24], slow[::4])
    assert scores.mean() > 24


@on_one_backend
def test_evaluate(run, tmp_path):
    scores = re.findall(
        r"(\w+): ([\d.]+) dB, SSIM [\d.]+, ([\d.]+) bits", run("evaluate.py")
    )
    assert [name for name, *_ in scores] == ["regen_small_8x8x8", "dct", "x264"]
    decibels, bits = zip(*((float(d), float(b)) for _, d, b in scores), strict=True)
    assert all(22 < d < 45 for d in decibels)
    assert bits[2] <= bits[0] == bits[1]
    assert (tmp_path / "evaluation.png").stat().st_size > 5000


def test_fit(run, tmp_path):
    output = run("fit.py")
    (before,) = re.findall(r"loss before: ([\d.]+)", output)
    (after,) = re.findall(r"loss after: ([\d.]+)", output)
    assert float(after) < 0.5 * float(before)
    preset = tmp_path / "my_preset"
    assert preset_metadata(preset)["description"] == "Trained on one clip"
    assert Regen.from_preset(preset, temporal_compression=4).encoder.built
