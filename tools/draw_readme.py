"""Draws the README's picture: frames of the bundled clip, and below them re-generated.

python -m tools.draw_readme            # writes examples/reconstruct.png
python -m tools.draw_readme OUT.png
"""

import argparse
import pathlib

import imageio.v3 as iio
import numpy as np

from keras_regen.codec import VideoCodec
from keras_regen.models import Regen
from keras_regen.video import VideoReader, bundled_clip
from tools.common import PRESET

PATH = pathlib.Path(__file__).parents[1] / "examples" / "reconstruct.png"
FRAMES = (4, 16, 32, 56)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path, nargs="?", default=PATH)
    args = parser.parse_args()
    regen = Regen.from_preset(PRESET)
    with VideoReader(bundled_clip()) as reader:
        pairs = list(VideoCodec(regen).reconstruct_stream(reader))
    columns = [np.concatenate(pairs[i], axis=0) for i in FRAMES]
    iio.imwrite(args.output, np.concatenate(columns, axis=1))
    print(args.output)


if __name__ == "__main__":
    main()
