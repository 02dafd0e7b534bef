"""A process's peak memory does not grow with the length of the video."""

import os
import pathlib
import subprocess
import sys

import keras

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = """
import resource, sys
import numpy as np
from keras_regen.codec import VideoCodec
from tests.models.conftest import make_regen

K, SIZE = 4, 256

def frames(count):
    frame = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), "uint8")
    for number in range(count):
        yield np.roll(frame, number, axis=1)

codec = VideoCodec(make_regen(K), tile_size=64)
for chunks in map(int, sys.argv[2:]):
    count = (K + 1) * chunks
    latents = codec.encode(frames(count), f"{sys.argv[1]}/{chunks}.h5")
    assert sum(1 for _ in codec.decode_stream(latents)) == count
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_is_flat(tmp_path):
    # 64 chunks are 63 MB of pixels, a tenth of what the process holds anyway.
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), "4", "64"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KERAS_BACKEND": keras.config.backend(),
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    few, many = map(int, result.stdout.split())
    assert many < 1.1 * few
