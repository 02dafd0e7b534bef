"""Videos: damaged, not what they say, huge, or no files."""

import os
import pathlib
import socket
import struct

import imageio.v3 as iio
import numpy as np

from keras_regen.data import VideoClips
from keras_regen.video import UnreadableError, VideoReader, open_access
from tools.attack.attempt import Attempt
from tools.attack.child import DONE, REFUSED
from tools.attack.registry import kind
from tools.attack.toys import VIDEOS, damage, deep, pick

FORBIDDEN = ("{out}/secret.mp4", "../outside/secret.mp4", "file://{out}/secret.mp4")


def read_all(path, partial=False):
    """Reads a video in order, and the same frames in any order."""
    with VideoReader(path, partial=partial) as reader:
        frames = [frame for _, frame in zip(range(300), reader, strict=False)]
    return [np.asarray(frame).mean(dtype="float64") for frame in frames]


def read_some(path):
    """Seeks in a video as training does."""
    try:
        access = open_access(path)
        try:
            index = access.index()
            last = index.num_frames - 1
            for frame in access.frames(sorted({0, last // 2, last}), index):
                frame if isinstance(frame, np.ndarray) else frame.to_ndarray()
        finally:
            access.close()
    except UnreadableError as error:
        raise ValueError(f"{path}: {error}") from error


def read_clips(path):
    """Makes a batch, as training does."""
    return VideoClips(path, 5, 16, 1, workers=0, seed=1)[0]


def reading(rng, toys, path, label, expected=None):
    """Returns an `Attempt` to read a video in one of all ways."""
    how = int(rng.integers(9))
    # Training skips videos with a warning, and alpha and sound are said to be lost.
    options = {"label": label, "names": (str(path),), "warns": True}
    if expected:
        options["expected"] = expected
    calls = (read_all, lambda p: read_all(p, True), read_some, read_clips)
    if how < 4:
        return Attempt(call=lambda: calls[how](path), **options)
    command = ("encode", "-o", "o.h5", "--max-memory", "500MB")
    output = "o.h5"
    if how == 5:
        command, output = ("reconstruct", "-o", "o.npy"), "o.npy"
    if how == 7:
        command, output = ("reconstruct", "-o", "o.mp4"), "o.mp4"
    if how == 8:
        command = ("decode", "-o", "o.mkv", "--audio-from", path, "--end", "0.1")
        command += ("--preset", toys.preset, "--", toys.copy("z.h5"))
        return Attempt(arguments=command, outputs=("o.mkv",), **options)
    partial = ("--partial",) if how in (6, 7) else ()
    command += ("--preset", toys.preset, *partial, "--", path)
    return Attempt(arguments=command, outputs=(output,), **options)


@kind(60)
def damaged_videos(toys, rng):
    path = toys.copy(pick(rng, VIDEOS))
    return reading(rng, toys, path, f"{path}, {damage(rng, path)}")


@kind(12)
def damaged_images(toys, rng):
    folder = pathlib.Path("images")
    folder.mkdir()
    for i in range(3):
        iio.imwrite(folder / f"{i}.png", rng.integers(0, 256, (16, 24, 3), "uint8"))
    path = folder / "1.png"
    label = f"images, {damage(rng, path)}"
    if rng.random() < 0.4:
        path.unlink()
        other = rng.integers(0, 256, (24, 16), "uint8")
        suffix = pick(rng, (".png", ".jpg", ".bmp", ".tiff", ".webp"))
        iio.imwrite(folder / f"1{suffix}", other)
        label = f"images, another size in {suffix}, {damage(rng, f'images/1{suffix}')}"
    return reading(rng, toys, folder, label)


@kind(16)
def playlists(toys, rng):
    target = pick(rng, (*FORBIDDEN, "crypto:{out}/secret.mp4", "http://127.0.0.1:1/a"))
    target = target.format(out=toys.outside)
    texts = (
        f"ffconcat version 1.0\nfile {target}\n",
        f"ffconcat version 1.0\nfile '{target}'\nduration 1\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        f"#EXTM3U\n#EXT-X-MAP:URI={target}\n#EXTINF:1,\n{target}\n",
        f'<?xml version="1.0"?><MPD><BaseURL>{target}</BaseURL></MPD>',
        "v=0\nm=video 5004 RTP/AVP 96\nc=IN IP4 127.0.0.1\n",
        f"[playlist]\nFile1={target}\n",
        f"concat:{target}|{target}\n",
        f"<smil><body><video src='{target}'/></body></smil>",
    )
    suffixes = (".mp4", ".m3u8", ".ffconcat", ".mpd", ".webm", ".gif", ".txt", ".sdp")
    path = pathlib.Path(f"list{pick(rng, suffixes)}")
    path.write_text(pick(rng, texts))
    return reading(rng, toys, path, f"playlist {path}, {target}", (REFUSED,))


@kind(12)
def lists_of_videos(toys, rng):
    toys.copy("v.mp4")
    entry = pick(
        rng,
        (
            *("../outside/../outside/../here/v.mp4", "v.mp4/../../here/v.mp4", "nul\0"),
            *("fifo.mp4", "/dev/zero", "http://127.0.0.1:1/v.mp4", "x" * 300, "[/x]"),
            *("a/b/../../v.mp4", "./v.mp4", "list.csv", '"', "\ufeff", "-", "~"),
        ),
    )
    os.mkfifo("fifo.mp4")
    weight = pick(rng, ("1", "-1", "nan", "inf", "1e400", "x", "", "0", "1e-320"))
    path = pathlib.Path("list.csv")
    path.write_text(f"path,weight\n{entry},{weight}\nv.mp4,1\n")
    if rng.random() < 0.3:
        path.write_text(pick(rng, ("", "a,b\n1,2\n", "path\n", deep(), "path\n\0\n")))
    label = f"list of {entry!r}, weight {weight!r}"
    if rng.random() < 0.4:
        return Attempt(label, call=lambda: read_clips(path), warns=True)
    arguments = ("encode", "--dataset", path, "-o", "z", "--preset", toys.preset)
    # Datasets skip videos with a warning, and go on from what is encoded.
    return Attempt(label, arguments, outputs=("z",), remains=("z",), warns=True)


# === Sizes ===


@kind(24)
def declared_sizes(toys, rng):
    make = pick(
        rng, (_huge_array, _huge_gif, _huge_png, _huge_raw, _huge_y4m, _huge_mp4)
    )
    side = pick(rng, (0, 1, 65535, 8000, 20000, 2**31 - 1, 2**32 - 1, 10**12))
    path = make(toys, rng, side)
    size = path.stat().st_size
    return reading(rng, toys, path, f"{path} of {size} bytes declares {side}")


def _huge_array(toys, rng, side):
    shape = pick(rng, ((side, 8, 8, 3), (1, side, side, 3), (side, side, 1, 3)))
    descr = pick(rng, ("|u1", "<f8", ">f4", "<f2", "|O", "|V9", "(99999,)u1", "<c16"))
    header = {"descr": descr, "fortran_order": bool(rng.integers(2)), "shape": shape}
    text = pick(
        rng, (repr(header), repr(header), "-" * 9000 + "1", deep(900), "{" * 500, "a")
    )
    text = text.encode()
    path = pathlib.Path("v.npy")
    version = bytes([int(rng.integers(1, 5)), 0])
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text) % 65536)
    path.write_bytes(b"\x93NUMPY" + version + length + text + rng.bytes(4000))
    if rng.random() < 0.3:
        os.truncate(path, 10**12)
    return path


def _huge_gif(toys, rng, side):
    side, count = min(side, 65535), int(rng.integers(1, 200))
    height = pick(rng, (1, 16, side))
    head = b"GIF89a" + struct.pack("<HHBBB", side, height, 0x80, 0, 0)
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    frame = b"\x21\xf9\x04\x00\x04\x00\x00\x00" + image
    path = pathlib.Path("v.gif")
    path.write_bytes(head + b"\0\0\0\xff\xff\xff" + frame * count + b"\x3b")
    return path


def _huge_png(toys, rng, side):
    folder = pathlib.Path("v") if rng.random() < 0.5 else pathlib.Path()
    folder.mkdir(exist_ok=True)
    path = folder / "0.png"
    iio.imwrite(path, np.zeros((8, 8, 3), "uint8"))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", side % 2**32, pick(rng, (8, side)) % 2**32)
    path.write_bytes(data)
    return path if folder == pathlib.Path() else folder


def _huge_raw(toys, rng, side):
    path = pathlib.Path(
        f"v_{side}x{pick(rng, (2, side))}_{pick(rng, (0, 25, side))}.yuv"
    )
    path.write_bytes(bytes(600))
    if rng.random() < 0.5:
        os.truncate(path, 6 * 10**9)
    return path


def _huge_y4m(toys, rng, side):
    path = pathlib.Path("v.y4m")
    rate = pick(rng, ("25:1", "0:0", f"{side}:1", "1:0", "-1:1"))
    path.write_bytes(f"YUV4MPEG2 W{side} H{side} F{rate} C420\nFRAME\n".encode())
    with path.open("ab") as file:
        file.write(bytes(10_000))
    return path


def _huge_mp4(toys, rng, side):
    path = toys.copy("v.mp4")
    data, name = bytearray(path.read_bytes()), pick(rng, (b"stsz", b"stts", b"mdhd"))
    name = pick(rng, (name, b"stco", b"tkhd", b"avc1", b"moov", b"elst"))
    start = data.find(name)
    if start > 0:
        place = start + int(rng.integers(-4, 40))
        data[place : place + 4] = struct.pack(">I", side % 2**32)
    path.write_bytes(data)
    return path


# === What is not a file, and names ===


@kind(20)
def special_files(toys, rng):
    suffix = pick(rng, (".mp4", ".npy", ".h5", ".yuv", ".gif", ".csv", ".264", ""))
    path = pathlib.Path(f"x{suffix}")
    what = pick(rng, ("fifo", "socket", "null", "zero", "loop", "broken", "directory"))
    if what == "fifo":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif what == "directory":
        path.mkdir()
    else:
        ends = {"null": "/dev/null", "zero": "/dev/zero", "loop": path, "broken": "no"}
        path.symlink_to(ends[what])
    arguments = pick(
        rng,
        (
            ("encode", path, "-o", "o.h5", "--preset", toys.preset),
            ("reconstruct", path, "-o", "o.npy", "--preset", toys.preset),
            ("decode", path, "-o", "o.npy", "--preset", toys.preset),
            ("info", path),
            ("encode", "--dataset", path, "-o", "z", "--preset", toys.preset),
            ("train", "--config", path, "-o", "run"),
            ("evaluate", "--data", path, "--preset", toys.preset, "--json", "e.json"),
        ),
    )
    label = f"{what} as {' '.join(map(str, arguments[:2]))}"
    # The report of an evaluation lists what was skipped.
    reported = arguments[0] == "evaluate"
    return Attempt(
        label,
        arguments,
        names=(str(path),),
        # A dataset makes its directory before it reads the videos, and an evaluation
        # writes its report where there is nothing to score.
        remains=("z", "e.json", "e.parts"),
        warns="--dataset" in arguments,
        outputs=("e.json", "e.parts"),
        expected=(DONE, REFUSED) if reported else (REFUSED,),
    )


NAMES = (
    *("2024-01-01T12:30:00", "a:b", "file:x", "concat:a|b", "http:", "%05d", "%s%n"),
    *("a[/x]", "[bold]b", ":smile:", "*", "a?b", "[a-z]", "a b", " ", "'", '"', "$(x)"),
    *(
        "-o",
        "--help",
        "\u202etxt",
        "\x1b[31m",
        "a\nb",
        "\udcff",
        "\N{SNOWMAN}",
        "~",
        "#",
    ),
    *(
        "..a",
        "a..",
        ".hidden",
        "x" * 180,
        "COM1",
        "a\\b",
        ";",
        "&",
        "\t",
        "hf:",
        "z.h5",
    ),
)


@kind(20)
def names_of_files(toys, rng):
    """Odd names, all of which must work."""
    name, other = pick(rng, NAMES), pick(rng, NAMES)
    command = pick(rng, ("encode", "decode", "reconstruct"))
    if command == "decode":
        path = toys.copy("z.h5", f"{name}.h5")
    else:
        source = pathlib.Path(pick(rng, ("v.mp4", "v.gif", "v.npy", "v.webm")))
        path = toys.copy(source, f"{name}{source.suffix}")
    suffix = ".h5" if command == "encode" else pick(rng, ("_", ".npy", ".mp4", ".gif"))
    # Names of directories of images have no suffix; and no output is its input.
    other = other.replace(".", "_") if suffix == "_" else f"{other}_"
    output = f"{other}{suffix}"
    pathlib.Path(output).parent.mkdir(exist_ok=True)
    arguments = (command, f"--output={output}", "--preset", toys.preset, "--", path)
    label = f"{command} {path.name!r} to {output!r}"
    return Attempt(label, arguments, outputs=(output,), expected=(DONE,))
