"""Writes tests/golden.npz: what the bundled preset does on every backend.

KERAS_BACKEND=torch python tools/make_golden.py
"""

import itertools
import pathlib

import numpy as np

from keras_regen.models import Regen
from keras_regen.video import VideoReader, bundled_clip

PATH = pathlib.Path(__file__).parents[1] / "tests" / "golden.npz"


def main():
    regen = Regen.from_preset("regen_tiny_8x8x8")
    with VideoReader(bundled_clip()) as frames:
        video = np.stack(list(itertools.islice(frames, 9, 18)))
    video = video[None, :, 40:88, 32:96]
    latents = regen.encode(video)
    np.savez_compressed(
        PATH,
        video=video,
        latents=latents,
        one_step=regen.decode(latents),
        between=regen.decode(latents, times=[0.5, 9.0], num_steps=2, seed=1),
        image_latents=regen.encode(video[:, :1]),
    )
    print(PATH)


if __name__ == "__main__":
    main()
