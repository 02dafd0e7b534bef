"""Values of options, and destinations."""

import os
import pathlib
import socket
import stat

from tools.attack.attempt import Attempt
from tools.attack.child import DONE, REFUSED
from tools.attack.registry import kind
from tools.attack.toys import pick

NUMBERS = (
    *("0", "-1", "1", "2", "0.5", "nan", "inf", "-inf", "1e300", "1e-300", "1e-320"),
    *("1e400", "-0", "1e9", "1e18", "99999999999999999999", "9" * 5000, "x", "", " "),
    *(
        "1,5",
        "0x10",
        "1_0",
        "\u0661",
        "--",
        "1e308",
        "2147483648",
        "18446744073709551616",
    ),
)
MEMORIES = (
    *("0", "1", "1KB", "1MB", "-1GB", "nan", "inf", "9" * 40 + "T", "1e400", "1e18"),
    *("GB", "1.5.5GB", "1e-9TB", "", "2 GB", "1e18T", "\u0663GB"),
)
WORDS = ("", "x", "\0", "a\nb", "[/x]", "../outside", "-", "{}", "9" * 300, "None")
OPTIONS = {
    "encode": {
        "--input-fps": NUMBERS,
        "--max-memory": MEMORIES,
        "--chunking": WORDS,
        "--dtype": WORDS,
    },
    "decode": {
        "--start": NUMBERS,
        "--end": NUMBERS,
        "--fps": NUMBERS,
        "--speed": NUMBERS,
        "--seed": NUMBERS,
        "--steps": ("0", "-1", "x", "1.5", "nan", "", "2"),
        "--noise-scale": NUMBERS,
        "--max-memory": MEMORIES,
    },
    "reconstruct": {
        "--input-fps": NUMBERS,
        "--seed": NUMBERS,
        "--noise-scale": NUMBERS,
        "--max-memory": MEMORIES,
    },
    "dataset": {
        "--shard": ("0/0", "1/1", "-1/2", "x", "0/9999999999", "", "1/2/3", "9" * 5000),
        "--max-memory": MEMORIES,
    },
    "evaluate": {
        "--size": NUMBERS[:9],
        "--num-frames": NUMBERS[:9],
        "--max-clips": NUMBERS[:9],
        "--protocol": WORDS,
        "--dataset": WORDS,
        "--features": WORDS,
        "--json": WORDS,
    },
    "export": {
        "--format": WORDS,
        "--precision": WORDS,
        "--weights": WORDS,
        "--warmup": ("x", "0x0", "-8x8", "9" * 50 + "x8", ""),
    },
    "benchmark": {
        "--size": ("x", "0x0", "", "9" * 400),
        "--steps": ("0", "x"),
        "--repeats": ("0", "x"),
    },
    "train": {
        "--steps": NUMBERS,
        "--learning-rate": NUMBERS,
        "--resolution": NUMBERS,
        "--stride": NUMBERS,
        "--size": WORDS,
        "--cache": MEMORIES,
        "--data": WORDS,
        "--ema-momentum": NUMBERS,
    },
}


# Commands to add options to, and what they write. Those that take long are given data
# or presets that do not exist, so that they must fail.
COMMANDS = {
    "encode": (("encode", "v.mp4", "-o", "o.h5"), "o.h5"),
    "decode": (("decode", "z.h5", "-o", "o.npy"), "o.npy"),
    "reconstruct": (("reconstruct", "v.mp4", "-o", "o.npy"), "o.npy"),
    "dataset": (("encode", "--dataset", "v.mp4", "-o", "z"), "z"),
    "evaluate": (("evaluate", "--data", "no", "--features=none"), None),
    "export": (("export", "no", "-o", "e"), None),
    "benchmark": (("benchmark", "--no-such-option"), None),
    "train": (("train", "--data", "no", "-o", "run", "--samples=0"), None),
}


@kind(60)
def options(toys, rng):
    command = pick(rng, sorted(OPTIONS))
    arguments, output = COMMANDS[command]
    given = []
    for name in rng.choice(sorted(OPTIONS[command]), int(rng.integers(1, 3))):
        given.append(f"{name}={pick(rng, OPTIONS[command][name])}")
    toys.copy("v.mp4")
    toys.copy("z.h5")
    if command == "decode" and rng.random() < 0.5:
        output = f"o{pick(rng, ('.gif', '.mp4', '.webm', ''))}"
        arguments = (*arguments[:3], output)
    if command not in ("export", "benchmark", "train"):
        arguments = (*arguments, "--preset", toys.preset)
    return Attempt(
        f"{command} {' '.join(given)}"[:90],
        (*arguments, *given),
        outputs=(output,) if output else (),
        # A training goes on from its settings, a dataset from what is encoded.
        remains=("run", "z"),
        warns=command in ("train", "dataset"),
        expected=(DONE, REFUSED) if output else (REFUSED,),
    )


# What is at the destination, and destinations.
THINGS = (
    *("pipe", "socket", "null device", "full device", "directory", "link to itself"),
    *("link to a file",),
)
PLACES = {
    "long name": "x" * 400 + "{name}",
    "nowhere": "no/where/{name}",
    "below a file": "v.mp4/{name}",
    "devices": "/dev/fd/99/{name}",
    "processes": "/proc/self/{name}",
    "null byte": "a\0{name}",
    "source": "{source}",
    "root": "/",
    "parent": "no/../{name}",
}


@kind(30)
def destinations(toys, rng):
    """What may not be replaced, or cannot be written."""
    command = pick(rng, ("encode", "decode", "reconstruct", "dataset"))
    suffix = {"encode": ".h5", "dataset": ""}.get(command, pick(rng, (".npy", ".mp4")))
    name = f"o{suffix}"
    what = pick(rng, ("thing", "thing", "place"))
    what = pick(rng, THINGS if what == "thing" else sorted(PLACES))
    if command == "dataset" and what == "root":
        # It would be allowed.
        what = "below a file"
    source = "z.h5" if command == "decode" else "v.mp4"
    output = PLACES.get(what, "{name}").format(name=name, source=source)
    _put(what, pathlib.Path(name), toys)
    arguments, _ = COMMANDS[command]
    toys.copy("v.mp4")
    toys.copy("z.h5")
    overwrite = () if command == "dataset" else ("--overwrite",)
    expected = (REFUSED,)
    # Links are replaced, not followed.
    if what.startswith("link"):
        expected = (DONE, REFUSED)
    # Datasets are written to directories, which may be there, or are made.
    if command == "dataset" and what in ("directory", "nowhere", "parent"):
        expected = (DONE, REFUSED)
    return Attempt(
        f"{command} to {what}, {output!r:.40}",
        (*arguments[:-1], output, "--preset", toys.preset, *overwrite),
        outputs=(name, "no") if DONE in expected else (),
        expected=expected,
    )


def _put(what, path, toys):
    if what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif what.endswith("device"):
        number = os.makedev(1, 3 if what == "null device" else 7)
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, number)
        except PermissionError:
            # Only root makes devices.
            os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
        (path / "x").write_bytes(b"what was there")
    elif what == "link to itself":
        path.symlink_to(path)
    elif what == "link to a file":
        path.symlink_to(toys.outside / "secret.mp4")
