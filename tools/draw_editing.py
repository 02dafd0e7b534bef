"""Draws the figures of docs/editing.md, and prints the numbers next to them.

python -m tools.draw_editing DATA/valid2
python -m tools.draw_editing DATA/valid2 FOLDER
"""

import argparse
import dataclasses
import pathlib

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from keras_regen.codec import VideoCodec
from keras_regen.editing import combine, compare, interpolate, spread
from keras_regen.metrics import psnr
from keras_regen.models import load_model
from keras_regen.pixels import show_deviation
from tools.common import PRESET, log, validation_clips

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "figures"
CLIPS = ("seq_akiyo", "seq_foreman")
# Stills of these are given the motion of the clip; the figure shows the first.
MOVING = (
    "seq_foreman",
    "seq_akiyo",
    "seq_bus",
    "seq_husky",
    "seq_stefan",
    "seq_flower",
)
# Red, green and blue become these colours.
COLOURS = np.array([[0.3, 0.2, 0.6], [0.5, 0.6, 0.3], [0.2, 0.2, 0.1]])
# Side of a picture in a figure, and rows for its name, in pixels.
PICTURE, LABEL = 160, 22
FRAME = 4
STEPS = {"num_steps": 10, "refinements": 1}


def draw(path, rows, names):
    """Writes rows of pictures under their names.

    Args:
        path: path of a .webp.
        rows: list of lists of uint8 arrays of shape `(H, W, 3)`.
        names: list of str.
    """
    label = PIL.Image.new("RGB", (PICTURE * len(names), LABEL), "white")
    canvas, font = PIL.ImageDraw.Draw(label), PIL.ImageFont.load_default(13)
    for i, name in enumerate(names):
        canvas.text((PICTURE * (i + 0.5), LABEL / 2), name, "black", font, "mm")
    shown = [np.concatenate([_enlarged(p) for p in row], axis=1) for row in rows]
    figure = np.concatenate([np.asarray(label), *shown])
    PIL.Image.fromarray(figure).save(path, quality=88, method=6)


def _enlarged(picture):
    image = PIL.Image.fromarray(picture)
    return np.asarray(image.resize((PICTURE, PICTURE), PIL.Image.LANCZOS))


def draw_interpolation(path, codec, first, second):
    """Draws two frames of five videos between two."""
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    videos = [codec.decode(interpolate(first, second, share)) for share in shares]
    rows = [[video[i] for video in videos] for i in (0, 8)]
    draw(path, rows, [f"share {share}" for share in shares])


def draw_comparison(path, codec, first, second):
    """Draws what latents and noise hold, and what depends on the seed."""
    compared = compare(codec, first, second)
    names = {
        "first": "A",
        "second": "B",
        "first, random noise": "A, random noise",
        "first, noise of second": "A, noise of B",
        "second, noise of first": "B, noise of A",
    }
    seeds = spread(codec, first)
    log("spread of A over four seeds, levels", seeds.mean())
    pictures = [compared[name][FRAME] for name in names]
    draw(
        path,
        [[*pictures, show_deviation(seeds[FRAME])]],
        [*names.values(), "spread of A"],
    )


def draw_motion(path, codec, content, motion):
    """Draws one video with the motion of the other, from its own noise."""
    moved = codec.decode(combine(content, motion, noise=content))
    videos = [codec.decode(content), codec.decode(motion), moved]
    names = ["content and noise", "motion", "both"]
    rows = [[v[i] for v in videos] for i in (0, 8)]
    draw(path, rows, names)


def draw_animated_still(path, codec, videos):
    """Draws a recoloured frame that is given the motion of its video."""
    for name, video in videos.items():
        recoloured = np.rint(np.clip(video @ COLOURS, 0, 255)).astype("uint8")
        still = codec.encode(np.repeat(recoloured[:1], len(video), axis=0))
        motion = codec.encode(video)
        decoded = {
            "a still": codec.decode(still),
            "the motion": codec.decode(motion),
            "both": codec.decode(combine(still, motion=motion)),
            "its own motion": codec.decode(codec.encode(recoloured)),
        }
        for kind, frames in decoded.items():
            if kind != "the motion":
                score = psnr(recoloured[1:], frames[1:]).mean()
                log("animated still", name, kind, score)
        if path is not None:
            rows = [[v[i] for v in decoded.values()] for i in (0, 8)]
            draw(path, rows, [*decoded])
            path = None


def draw_slow_motion(path, codec, video):
    """Draws a frame that was left out, as it was and as two decodings have it."""
    latents = codec.invert(video[:17:2], **STEPS)
    times = np.arange(17) / 2
    held_out, shown = np.arange(1, 17, 2), 7
    without = dataclasses.replace(latents, noise=None)
    decoded = {
        "left out": video[:17],
        "with its noise": codec.decode(latents, times=times),
        "random noise": codec.decode(without, times=times),
    }
    # What needs no model.
    mean = (video[:16:2].astype(int) + video[2:18:2]) // 2
    score = psnr(video[held_out], mean.astype("uint8")).mean()
    log("slow motion, mean of neighbours", score)
    for name, frames in decoded.items():
        if name != "left out":
            for kind, which in (("between", held_out), ("given", held_out - 1)):
                log("slow motion", name, kind, psnr(video[which], frames[which]).mean())
    draw(path, [[frames[shown] for frames in decoded.values()]], [*decoded])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of the clips seq_*.mp4")
    parser.add_argument("folder", type=pathlib.Path, nargs="?", default=FOLDER)
    args = parser.parse_args()
    clips = validation_clips(args.data)
    codec = VideoCodec(load_model(PRESET), blend_frames=0)
    videos = [clips[name][:18] for name in CLIPS]
    moving = {name: clips[name][:9] for name in MOVING}
    draw_animated_still(args.folder / "editing_animated.webp", codec, moving)
    draw_slow_motion(args.folder / "editing_slow.webp", codec, videos[1])
    inverted = [codec.invert(video[:9], **STEPS) for video in videos]
    for name, video, latents in zip(CLIPS, videos, inverted, strict=True):
        log(name, "PSNR of the inverted", psnr(video[:9], codec.decode(latents)).mean())
    draw_interpolation(args.folder / "editing_interpolation.webp", codec, *inverted)
    draw_comparison(args.folder / "editing_comparison.webp", codec, *inverted)
    draw_motion(args.folder / "editing_motion.webp", codec, *inverted)


if __name__ == "__main__":
    main()
