"""Draws examples/reconstruct.png: frames of the bundled clip above their re-generation.

python tools/draw_readme.py
"""

import pathlib

import imageio.v3 as iio
import numpy as np

from keras_regen import VideoCodec
from keras_regen.models import Regen
from keras_regen.video import VideoReader, bundled_clip

PATH = pathlib.Path(__file__).parents[1] / "examples" / "reconstruct.png"
FRAMES = (4, 16, 32, 56)


def main():
    regen = Regen.from_preset("regen_tiny_8x8x8")
    with VideoReader(bundled_clip()) as reader:
        pairs = list(VideoCodec(regen).reconstruct_stream(reader))
    columns = [np.concatenate(pairs[i], axis=0) for i in FRAMES]
    iio.imwrite(PATH, np.concatenate(columns, axis=1))
    print(PATH)


if __name__ == "__main__":
    main()
