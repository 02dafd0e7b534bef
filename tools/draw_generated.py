"""Draws videos that the bundled generator made of texts, as a moving picture.

python -m tools.draw_generated            # writes docs/figures/digits.webp
python -m tools.draw_generated OUT.webp
"""

import argparse
import pathlib

import numpy as np

from keras_regen.generation import VideoGenerator
from tools.draw_readme import labelled, save_webp

PATH = pathlib.Path(__file__).parents[1] / "docs" / "figures" / "digits.webp"
PRESET = "digits_nano_8x8x8"
FPS = 25
# Of texts and their videos, at twice their size.
COLUMNS, SCALE = 4, 2
TEXTS = (
    "a red seven moves left",
    "a yellow three moves up slowly",
    "a green zero moves right quickly",
    "a white five moves down quickly",
    "a blue two moves left slowly",
    "a purple four moves right slowly",
    "a red eight moves down slowly",
    "a yellow nine moves up quickly",
)


def draw(output, generator, texts, num_frames=None):
    """Writes the videos of texts, seed 0, in rows of four.

    Args:
        output: path of the picture.
        generator: `VideoGenerator`.
        texts: sequence of str.
        num_frames: int or None. Defaults to the generator's.
    """
    videos = {
        text: generator.generate(text, num_frames=num_frames)
        .repeat(SCALE, axis=1)
        .repeat(SCALE, axis=2)
        for text in texts
    }
    rows = [
        labelled({text: videos[text] for text in texts[i : i + COLUMNS]}, size=8)
        for i in range(0, len(texts), COLUMNS)
    ]
    save_webp(output, np.concatenate(rows, axis=1), FPS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path, nargs="?", default=PATH)
    args = parser.parse_args()
    draw(args.output, VideoGenerator.from_preset(PRESET), TEXTS)
    print(args.output)


if __name__ == "__main__":
    main()
