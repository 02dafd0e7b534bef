"""Full disks, and processes that are killed."""

import pathlib
import signal

import numpy as np

from keras_regen.models import load_model
from keras_regen.training import Checkpoint
from tools.attack.attempt import Attempt
from tools.attack.registry import kind
from tools.attack.toys import FRAMES, HEIGHT, WIDTH, pick


def writing(rng, toys, frames):
    """Returns the arguments of a command that writes, and its outputs.

    Where there is a destination, it holds something before.
    """
    command = pick(rng, ("encode", "encode", "decode", "reconstruct", "dataset"))
    preset = ("--preset", toys.preset)
    video = rng.integers(0, 256, (frames, HEIGHT, WIDTH, 3), "uint8")
    if command == "decode":
        toys.copy("z.h5")
        speed = FRAMES / frames
        output = pick(rng, ("o.npy", "o.mp4", "o.gif", "o.mkv", "o.webm", "images"))
        arguments = ("decode", "z.h5", "-o", output, "--speed", speed, *preset)
    elif command == "reconstruct":
        np.save("v.npy", video)
        output = pick(rng, ("o.npy", "o.mp4", "o.gif", "images"))
        arguments = ("reconstruct", "v.npy", "-o", output, *preset)
    else:
        np.save("v.npy", video)
        dtype = ("--dtype", pick(rng, ("float16", "float32")))
        output = "o.h5" if command == "encode" else "z"
        source = ("v.npy",) if command == "encode" else ("--dataset", "v.npy")
        arguments = ("encode", *source, "-o", output, *dtype, *preset)
    if "." in output and rng.random() < 0.7:
        pathlib.Path(output).write_bytes(b"what was there")
    overwrite = () if command == "dataset" else ("--overwrite",)
    return (*arguments, *overwrite), output


@kind(20)
def full_disk(toys, rng):
    if rng.random() < 0.25:
        return _full_while_saving(toys, rng)
    arguments, output = writing(rng, toys, 40)
    size = int(pick(rng, (0, 1, 100, 512, 2048, 4096, 8192, 20_000, 10**6)))
    label = f"{' '.join(map(str, arguments[:4]))}, {size} bytes"
    return Attempt(
        label,
        arguments,
        outputs=(output,),
        # A dataset goes on from what is encoded.
        remains=("z",),
        max_file_size=size,
    )


def _full_while_saving(toys, rng):
    """Saves a preset or a checkpoint."""
    name = pick(rng, ("preset", "checkpoint.h5"))
    toys.copy(name)
    size = int(pick(rng, (0, 100, 2048, 8192, 20_000)))
    dtype = pick(rng, ("float32", "int8"))

    def save():
        if name == "preset":
            toys.regen.save_to_preset(name, dtype=dtype)
        else:
            checkpoint = Checkpoint(name)
            checkpoint.set_model(toys.regen)
            checkpoint.on_epoch_end(0, {"loss": 0.5})

    label = f"save a {name}, {size} bytes"
    return Attempt(label, call=save, outputs=(name,), max_file_size=size)


@kind(20)
def kills(toys, rng):
    number = pick(rng, (signal.SIGTERM, signal.SIGKILL))
    seconds = float(rng.uniform(0, 1.5))
    if number == signal.SIGKILL and rng.random() < 0.2:
        toys.copy("preset")
        return Attempt(
            f"{number.name} at {seconds:.2f} s, save_to_preset",
            call=lambda: _save_often(toys.regen),
            outputs=("preset",),
            kill=(number, min(seconds, 0.5)),
        )
    arguments, output = writing(rng, toys, 150)
    label = f"{number.name} at {seconds:.2f} s, {' '.join(map(str, arguments[:4]))}"
    return Attempt(
        label,
        arguments,
        outputs=(output,),
        remains=("z",),
        kill=(number, seconds),
    )


def _save_often(regen):
    for _ in range(3):
        regen.save_to_preset("preset")
        load_model("preset")
