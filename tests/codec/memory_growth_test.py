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
count = (K + 1) * int(sys.argv[1])
latents = codec.encode(frames(count), sys.argv[2])
assert sum(1 for _ in codec.decode_stream(latents)) == count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory(num_chunks, path):
    """Peak resident KiB of a process that encodes and decodes `num_chunks` chunks."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(num_chunks), path],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KERAS_BACKEND": keras.config.backend(),
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


def test_memory_is_flat(tmp_path):
    # 64 chunks are 63 MB of pixels, a tenth of what the process holds anyway.
    few, many = (peak_memory(count, tmp_path / f"{count}.h5") for count in (4, 64))
    assert many < 1.1 * few
