"""Draws the README's moving picture: the bundled clip, and what two presets make of it.

python -m tools.draw_readme            # writes examples/reconstruct.webp
python -m tools.draw_readme OUT.webp
"""

import argparse
import pathlib

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from keras_regen.codec import VideoCodec
from keras_regen.metrics import psnr
from keras_regen.models import load_model
from keras_regen.video import bundled_clip
from tools.common import log, read_video

PATH = pathlib.Path(__file__).parents[1] / "examples" / "reconstruct.webp"
PRESETS = ("regen_small_8x8x8", "regen_small_8x8x32")
# Frames per second of the film.
FPS = 24
# Rows of pixels above the videos, for their names.
LABEL = 24


def draw(output, video, presets):
    """Writes a video and what every preset makes of it, side by side, as WebP.

    Args:
        output: path of the picture.
        video: uint8 `(T, H, W, 3)`.
        presets: names or directories of presets.
    """
    columns = {"original": video}
    for preset in presets:
        model = load_model(preset)
        codec = VideoCodec(model)
        decoded = codec.decode(codec.encode(video))
        columns[f"k = {model.temporal_compression}"] = decoded
        log(preset, f"{psnr(video, decoded).mean():.2f} dB")
    save_webp(output, labelled(columns), FPS)


def labelled(columns, size=16):
    """Puts videos side by side, with their names above.

    Args:
        columns: dict from names to uint8 arrays of shape `(T, H, W, 3)`.
        size: int. Of the letters, in pixels. Defaults to `16`.

    Returns:
        uint8 array of shape `(T, LABEL + H, W * n, 3)`.
    """
    frames = np.concatenate([*columns.values()], axis=2)
    count, _, width, _ = frames.shape
    label = PIL.Image.new("RGB", (width, LABEL), "white")
    canvas, font = PIL.ImageDraw.Draw(label), PIL.ImageFont.load_default(size)
    for i, name in enumerate(columns):
        place = (width / len(columns) * (i + 0.5), LABEL / 2)
        canvas.text(place, name, "black", font, "mm")
    labels = np.broadcast_to(np.asarray(label), (count, LABEL, width, 3))
    return np.concatenate([labels, frames], axis=1)


def save_webp(output, frames, fps):
    """Writes an animated WebP that repeats."""
    first, *others = map(PIL.Image.fromarray, frames)
    first.save(
        output,
        save_all=True,
        append_images=others,
        duration=round(1000 / fps),
        loop=0,
        quality=80,
        method=6,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path, nargs="?", default=PATH)
    args = parser.parse_args()
    draw(args.output, read_video(bundled_clip()), PRESETS)
    print(args.output)


if __name__ == "__main__":
    main()
