"""Writes the outputs of the bundled preset that the tests compare every backend with.

KERAS_BACKEND=torch python -m tools.make_golden            # tests/golden.npz
KERAS_BACKEND=torch python -m tools.make_golden OUT.npz
"""

import argparse
import itertools
import pathlib

import numpy as np

from keras_regen.models import Regen
from keras_regen.video import VideoReader
from tools.common import PRESET

TESTS = pathlib.Path(__file__).parents[1] / "tests"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "output", type=pathlib.Path, nargs="?", default=TESTS / "golden.npz"
    )
    args = parser.parse_args()
    regen = Regen.from_preset(PRESET)
    with VideoReader(TESTS / "clip.mp4") as frames:
        video = np.stack(list(itertools.islice(frames, 9, 18)))
    video = video[None, :, 40:88, 32:96]
    latents = regen.encode(video)
    np.savez_compressed(
        args.output,
        video=video,
        latents=latents,
        one_step=regen.decode(latents),
        between=regen.decode(latents, times=[0.5, 9.0], num_steps=2, seed=1),
        image_latents=regen.encode(video[:, :1]),
    )
    print(args.output)


if __name__ == "__main__":
    main()
