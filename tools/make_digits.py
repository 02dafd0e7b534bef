"""Writes clips of moving digits, with captions, as a data set to encode.

    python -m tools.make_digits digits/train --clips 5000
    python -m tools.make_digits digits/valid --split valid --clips 512
    keras-regen encode --dataset digits/train/clips.csv -o latents/train \\
        --text-encoder MINILM

Each clip is an array of 36x64x64 pixels, 0.4 MB; `clips.csv` has columns `path` and
`text`.
"""

import argparse
import csv
import pathlib

import rich.progress

from keras_regen.atomic_output import AtomicOutput
from keras_regen.data import MovingDigits
from keras_regen.video import VideoWriter

FPS = 25


def write(clips, directory):
    """Writes clips that are not there yet, and their list.

    Args:
        clips: `MovingDigits`.
        directory: path.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in rich.progress.track(range(len(clips)), "Rendering"):
        video, text, _ = clips[i]
        path = directory / f"{i:05}.npy"
        rows.append({"path": path.name, "text": text})
        if path.exists():
            continue
        with VideoWriter(path, FPS) as writer:
            for frame in video:
                writer.write(frame)
    with (
        AtomicOutput(directory / "clips.csv", "list of clips") as output,
        output.temporary.open("w", newline="") as file,
    ):
        table = csv.DictWriter(file, ["path", "text"])
        table.writeheader()
        table.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=36)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    clips = MovingDigits(options.split, options.clips, options.frames, options.seed)
    write(clips, options.directory)


if __name__ == "__main__":
    main()
