"""The valid files that hostile ones are made of, and ways to damage them."""

import pathlib
import shutil

import imageio.v3 as iio
import keras
import numpy as np

from keras_regen.codec import VideoCodec
from keras_regen.models import Regen
from keras_regen.training import Checkpoint
from keras_regen.video import VideoReader, VideoWriter
from tests.models.conftest import awaken, make_regen
from tests.video.media import make

CLIP = pathlib.Path(__file__).parents[2] / "tests" / "clip.mp4"
K = 4
FRAMES, HEIGHT, WIDTH = 7, 26, 34
WRITTEN = ("v.mp4", "v.mkv", "v.webm", "v.gif", "v.npy")
RAW = f"v_{WIDTH}x{HEIGHT}_25.yuv"
# With sound, at uneven times.
PHONES = ("phone.mov", "phone.mkv")
VIDEOS = (*WRITTEN, RAW, *PHONES, "v.webp")


class Toys:
    """A toy model, its preset, and files of every kind.

    Args:
        arena: an `Arena`. The files lie in its root, and copies that nothing may open
            in `arena.outside`.

    Attributes:
        directory: path of the files: `VIDEOS`, `z.h5`, `checkpoint.h5`, `config.toml`.
        preset: path.
        outside: path of the directory with `secret.mp4`, `secret.npy`, `secret.h5` and
            `secret.json`.
        regen: a `Regen`.
    """

    def __init__(self, arena):
        self.directory = arena.root / "toys"
        self.outside = arena.outside
        self.preset = self.directory / "preset"
        self.directory.mkdir()
        self.regen = toy_regen()
        self.regen.save_to_preset(self.preset, {"description": "a toy", "steps": 3})
        frames = self._write_videos()
        codec = VideoCodec(Regen.from_preset(self.preset))
        self.latents = codec.encode(frames, fps=25.0)
        self.latents.save(self.directory / "z.h5")
        self._write_training()
        for name, source in {
            **{"secret.mp4": "v.mp4", "secret.npy": "v.npy", "secret.h5": "z.h5"},
            **{"secret.json": "preset/config.json", "secret.toml": "config.toml"},
        }.items():
            shutil.copyfile(self.directory / source, self.outside / name)

    def _write_videos(self):
        with VideoReader(CLIP) as reader:
            frames = np.stack([f for _, f in zip(range(FRAMES), reader, strict=False)])
        frames = np.ascontiguousarray(frames[:, :HEIGHT, :WIDTH])
        for name in WRITTEN:
            with VideoWriter(self.directory / name, 25) as writer:
                for frame in frames:
                    writer.write(frame)
        chroma = 2 * ((HEIGHT + 1) // 2) * ((WIDTH + 1) // 2)
        with (self.directory / RAW).open("wb") as file:
            for frame in frames:
                file.write(frame[..., 1].tobytes() + bytes([128]) * chroma)
        for name in PHONES:
            make(self.directory / name, sound="aac", aspect=1.25)
        iio.imwrite(self.directory / "v.webp", frames, plugin="pillow", duration=70)
        return frames

    def _write_training(self):
        checkpoint = Checkpoint(self.directory / "checkpoint.h5")
        checkpoint.set_model(compiled(self.regen))
        checkpoint.on_epoch_end(0, {"loss": 0.5, "seconds": 1.0, "skipped": 0.0})
        (self.directory / "config.toml").write_text(
            'data = ["v.mp4"]\nresolution = [16]\nsteps = 4\nsteps_per_epoch = 2\n'
        )

    def copy(self, name, to=None):
        """Copies a file or directory to the working directory; returns its path."""
        source, target = self.directory / name, pathlib.Path(to or name)
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        return target


def toy_regen():
    """Makes a small model, in which every weight matters."""
    keras.utils.set_random_seed(0)
    return awaken(make_regen(K, decoder={"depth": 1}))


def compiled(regen):
    """Compiles a model with a built optimiser, as training does; returns it."""
    regen.compile(optimizer=keras.optimizers.AdamW(1e-3, use_ema=True))
    regen.optimizer.build(regen.trainable_variables)
    return regen


# === Damage ===


def damage(rng, path):
    """Damages a file somewhere; returns what was done, for a label."""
    data = bytearray(pathlib.Path(path).read_bytes())
    place = int(rng.integers(len(data)))
    how = pick(rng, ("cut", "flip", "flips", "zeros", "ones", "swap", "insert", "junk"))
    length = int(rng.integers(1, 65))
    if how == "cut":
        del data[place:]
    elif how == "flip":
        data[place] ^= 1 << int(rng.integers(8))
    elif how == "flips":
        # Many are in the first bytes, which declare what follows.
        for _ in range(length):
            end = len(data) if rng.random() < 0.5 else min(len(data), 512)
            data[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
    elif how in ("zeros", "ones"):
        part = data[place : place + length]
        data[place : place + length] = bytes([0 if how == "zeros" else 255]) * len(part)
    elif how == "swap":
        other = int(rng.integers(len(data)))
        part = data[other : other + length]
        data[place : place + len(part)] = part
    elif how == "insert":
        data[place:place] = rng.bytes(length)
    else:
        data[:] = rng.bytes(len(data))
    pathlib.Path(path).write_bytes(data)
    return f"{how} at {place}"


def pick(rng, items):
    """Returns a random item of a sequence."""
    return items[int(rng.integers(len(items)))]


# What JSON and TOML can hold where something else belongs.
def wrong_value(rng):
    """Returns a value that is rarely right, of any type that JSON has."""
    return pick(
        rng,
        (
            *(None, True, False, [], {}, "", "x", "../outside/secret.mp4", [[[[]]]]),
            *(0, -1, 1, 3, 1.5, -0.0, 1e9, 1e308, -1e308, 1e-320, 2**31, 2**63),
            *(10**30, float("inf"), float("-inf"), float("nan"), "nan", "1e400"),
            *("\u0000", "\ud800", "[/x]", "a" * 10_000, [0], [1e400], {"a": 1}),
            *({"class_name": "X"}, [True], ["x"], [None], [-1], [2**40] * 3),
        ),
    )


def deep(levels=100_000):
    """Returns JSON that is nested deeply."""
    return levels * "[" + levels * "]"


def with_wrong_value(rng, value):
    """Puts a wrong value somewhere into nested dicts and lists.

    Returns:
        The path to it, a str, and what it is.
    """
    paths = list(_paths(value))
    *path, last = pick(rng, paths)
    for key in path:
        value = value[key]
    wrong = wrong_value(rng)
    if rng.random() < 0.1 and isinstance(value, dict):
        del value[last]
        wrong = "nothing"
    else:
        value[last] = wrong
    return ".".join(map(str, (*path, last))), wrong


def _paths(value, path=()):
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))
