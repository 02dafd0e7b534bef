"""Draws the figures of docs/concepts.md.

python -m tools.draw_concepts            # writes docs/figures
python -m tools.draw_concepts FOLDER
"""

import argparse
import pathlib

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from keras_regen.codec import VideoCodec
from keras_regen.figures import new_figure
from keras_regen.models import load_model
from keras_regen.video import bundled_clip
from tools.common import log, read_video
from tools.site.svg import BLUE, GREEN, ORANGE, SOFT, VIOLET, Drawing

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "figures"
PRESET = "regen_small_8x8x8"
# Where the pictures are taken from the bundled clips: the first frame, row and column.
PLACES = {"bunny": (0, 70, 250), "steel": (9, 56, 40)}
SIZE = 128
# Width and height of a picture in the figure of latents, and of the words above.
PICTURE, LABEL = 192, 26


def draw_chunks(path):
    """Draws how a video is cut into chunks, and what a chunk becomes."""
    drawing = Drawing(760, 300, "Chunks of nine frames, each two latent frames")
    width, gap = 20, 4
    for chunk, fill in enumerate((BLUE, GREEN, VIOLET)):
        left = 30 + chunk * 240
        for frame in range(9):
            x = left + frame * (width + gap)
            drawing.box(x, 50, width, 60, fill=fill if frame else ORANGE)
        end = left + 9 * (width + gap) - gap
        drawing.text((left + end) / 2, 30, f"frames {9 * chunk} to {9 * chunk + 8}")
        drawing.arrow((left + width / 2, 112), (left + 50, 196))
        drawing.arrow((left + 24, 122), (end, 122), tip=False)
        drawing.arrow(((left + end) / 2 + 12, 122), (left + 150, 196))
        drawing.box(left + 22, 200, 56, 44, "z_c", ORANGE)
        drawing.box(left + 122, 200, 56, 44, "z_m", fill)
        drawing.text(left + 50, 262, "content", size=13)
        drawing.text(left + 150, 262, "motion", size=13)
    drawing.text(380, 286, "k = 8: nine frames become two latent frames", size=13)
    drawing.save(path)


def draw_positional_encoding(path):
    """Draws the content-aware positional encoding."""
    drawing = Drawing(760, 330, "The content-aware positional encoding")
    drawing.box(30, 30, 150, 50, "time t of a frame")
    drawing.box(30, 120, 150, 50, "z_m at (x, y)", BLUE)
    drawing.box(30, 230, 150, 50, "z_c at (x, y)", ORANGE)
    drawing.box(240, 60, 150, 80, "SIREN M_t:\nsines of t, scaled\nand shifted by z_m")
    drawing.box(450, 130, 120, 70, "concatenate,\nproject (M_s)")
    drawing.box(620, 130, 110, 70, "add to the\ntoken of\n(x, y, t)", GREEN)
    drawing.arrow((180, 55), (238, 85))
    drawing.arrow((180, 145), (238, 115))
    drawing.arrow((390, 100), (448, 150))
    drawing.arrow((180, 255), (448, 182))
    drawing.arrow((570, 165), (618, 165))
    drawing.text(380, 308, "It is the decoder's only sense of place and time.", size=13)
    drawing.save(path)


def draw_noise(path):
    """Draws the noise canvas, with a chunk and two tiles that are cut out of it."""
    drawing = Drawing(760, 320, "The noise canvas, with tiles that crop it")
    dots = np.random.default_rng(0).random((12, 24))
    for row, values in enumerate(dots):
        for column, value in enumerate(values):
            shade = f"{round(150 + 100 * value):02x}"
            drawing.cell(40 + 18 * column, 44 + 18 * row, 17, f"#{3 * shade}")
    drawing.text(256, 24, "one frame of the canvas: (seed, time)")
    drawing.text(22, 150, "y", size=14)
    drawing.text(256, 276, "x", size=14)
    drawing.area([(94, 80), (256, 80), (256, 206), (94, 206)], "none")
    drawing.area([(220, 80), (382, 80), (382, 206), (220, 206)], "none")
    drawing.text(175, 98, "tile 1")
    drawing.text(320, 98, "tile 2")
    drawing.box(520, 56, 210, 66, "noise = hash(seed, time,\nrow, column)", VIOLET)
    drawing.text(
        625,
        190,
        "Where tiles or chunks\noverlap, they have the\nsame noise, on every\nbackend.",
    )
    drawing.text(380, 304, "Tiles and chunks crop the canvas.", size=13)
    drawing.save(path)


def draw_seams(path):
    """Draws how chunks fade in time, and how tiles overlap in space."""
    drawing = Drawing(760, 320, "Chunks fade into each other, and tiles overlap")
    drawing.text(200, 24, "in time")
    base, top = 200, 90
    # Frames 0 to 8 are of chunk 1; the fade is from frame 6 to 11.
    x = [40 + 18 * frame for frame in range(18)]
    drawing.area([(x[0], base), (x[0], top), (x[6], top), (x[11], base)], BLUE)
    drawing.area([(x[6], base), (x[11], top), (x[17], top), (x[17], base)], GREEN)
    boundary = (x[8] + x[9]) / 2
    drawing.arrow((boundary, 70), (boundary, 210), tip=False)
    drawing.text(boundary, 56, "boundary", size=13)
    drawing.text(x[3], 150, "chunk 1")
    drawing.text(x[14], 150, "chunk 2")
    drawing.text(
        200, 240, "Each chunk extrapolates two\nframes beyond the boundary.", size=13
    )
    drawing.text(580, 24, "in space")
    drawing.area([(440, 60), (610, 60), (610, 200), (440, 200)], BLUE)
    drawing.area([(550, 60), (720, 60), (720, 200), (550, 200)], GREEN)
    drawing.text(494, 130, "tile 1")
    drawing.text(666, 130, "tile 2")
    drawing.text(580, 130, "both")
    drawing.text(
        580,
        240,
        "Where tiles overlap, their weights\nfall linearly and sum to 1.",
        size=13,
    )
    drawing.text(380, 296, "No line shows where two decodings meet.", size=13)
    drawing.save(path)


def draw_latents(path, model):
    """Draws the latents of a chunk of each clip, and what the motion latent does."""
    k = model.temporal_compression
    rows, codec = [], VideoCodec(model)
    for clip, (first, top, left) in PLACES.items():
        video = read_video(bundled_clip(clip))[first:]
        video = video[: k + 1, top : top + SIZE, left : left + SIZE]
        content, motion = codec.encode(video).array
        still = codec.encode(np.repeat(video[:1], k + 1, axis=0)).array[1]
        moved, held = model.decode(
            np.stack([np.stack([content, z]) for z in (motion, still)]), dtype="uint8"
        )
        pictures = {
            "frame 0": video[0],
            "frame 8": video[k],
            "z_c": _as_colours(content),
            "z_m": _as_colours(motion),
            "frame 8, decoded": moved[k],
            "with z_m of a still": held[k],
        }
        rows.append(np.concatenate([_enlarged(p) for p in pictures.values()], axis=1))
    label = PIL.Image.new("RGB", (PICTURE * len(pictures), LABEL), "white")
    canvas, font = PIL.ImageDraw.Draw(label), PIL.ImageFont.load_default(15)
    for i, name in enumerate(pictures):
        canvas.text((PICTURE * (i + 0.5), LABEL / 2), name, "black", font, "mm")
    figure = np.concatenate([np.asarray(label), *rows])
    PIL.Image.fromarray(figure).save(path, quality=90, method=6)


def _as_colours(latent):
    """Returns the three strongest components of a latent frame as colours, uint8."""
    values = latent.reshape(-1, latent.shape[-1])
    values = values - values.mean(axis=0)
    _, _, axes = np.linalg.svd(values, full_matrices=False)
    components = values @ axes[:3].T
    scaled = 0.5 + components / (5 * components.std(axis=0))
    return (
        np.rint(255 * np.clip(scaled, 0, 1))
        .astype("uint8")
        .reshape(*latent.shape[:2], 3)
    )


def _enlarged(picture):
    image = PIL.Image.fromarray(picture)
    kind = PIL.Image.NEAREST if len(picture) < SIZE else PIL.Image.LANCZOS
    return np.asarray(image.resize((PICTURE, PICTURE), kind))


def draw_changes(path, model):
    """Plots how much neighbouring frames differ, at seams and elsewhere."""
    _, top, left = PLACES["steel"]
    video = read_video(bundled_clip("steel"))[:, top : top + SIZE, left : left + SIZE]
    videos = {"original": video}
    for name, blend_frames in (("cut", 0), ("faded", 2)):
        codec = VideoCodec(model, blend_frames=blend_frames)
        videos[name] = codec.decode(codec.encode(video))
    figure = new_figure(7, 3)
    axes = figure.subplots()
    for name, style in (("original", "k-"), ("cut", "r--"), ("faded", "b-")):
        change = np.abs(np.diff(videos[name].astype(int), axis=0)).mean(axis=(1, 2, 3))
        axes.plot(np.arange(1, len(video)), change, style, label=name)
        log(name, change[model.temporal_compression :: model.temporal_compression + 1])
    for seam in range(model.temporal_compression + 1, len(video), 9):
        axes.axvline(seam, color=SOFT, zorder=0)
    axes.set(xlabel="frame", ylabel="mean change, levels", ylim=(0, None))
    axes.legend(ncols=3)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, nargs="?", default=FOLDER)
    folder = parser.parse_args().folder
    folder.mkdir(exist_ok=True)
    draw_chunks(folder / "chunks.svg")
    draw_positional_encoding(folder / "positional_encoding.svg")
    draw_noise(folder / "noise.svg")
    draw_seams(folder / "seams.svg")
    model = load_model(PRESET)
    draw_latents(folder / "latents.webp", model)
    draw_changes(folder / "changes.png", model)


if __name__ == "__main__":
    main()
