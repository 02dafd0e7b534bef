"""Values of the Python interface that are not finite, or hardly."""

import dataclasses

import numpy as np

from keras_regen.codec import VideoCodec
from keras_regen.models import load_model
from tools.attack.attempt import Attempt
from tools.attack.registry import kind
from tools.attack.toys import FRAMES, K, pick

NUMBERS = (
    *(np.nan, np.inf, -np.inf, 1e38, -1e38, 3.4e38, 1e30, 1e300, -1e300, 1e10, 9999.0),
    *(1e5, 65504.0, 65520.0, 1e-45, 1e-320, 0.0, -0.0, -1.0, 2.0**31, 2.0**32, 2.0**63),
)
WHOLE = (0, 1, -1, 2**31, 2**32, 2**63, 2**64, 10**30, 1.5, np.nan, None, "1", True)


def spoil(rng, array, dtype="float32"):
    """Returns an array with one value, or all, replaced by an odd one, and that."""
    value = pick(rng, NUMBERS)
    with np.errstate(all="ignore"):
        array = np.array(array, dtype)
        if rng.random() < 0.5:
            array.flat[int(rng.integers(array.size))] = value
        else:
            array[...] = value
    return array, value


@kind(24)
def values_encoded(toys, rng):
    dtype = pick(rng, ("float16", "float32", "float64"))
    video, value = spoil(rng, rng.uniform(-1, 1, (1, K + 1, 16, 16, 3)), dtype)
    if rng.random() < 0.2:
        sides = (0, 1, 8, 15, 16)
        shape = (
            pick(rng, (0, 1)),
            pick(rng, (0, 1, 2, K + 1)),
            *2 * (pick(rng, sides),),
        )
        video, value = np.zeros((*shape, pick(rng, (1, 3, 4))), dtype), shape
    policy = pick(rng, (None, None, "mixed_float16", "mixed_bfloat16"))
    how = pick(rng, ("encode", "reconstruct", "codec", "call"))

    def run():
        model = load_model(toys.preset, dtype=policy)
        if how == "codec":
            return VideoCodec(model).encode(video[0] if len(video) else video).array
        if how == "call":
            return model(video, training=False).detach().numpy()
        return getattr(model, how)(video)

    return Attempt(f"{how} {value} in {dtype}, {policy}", call=run)


@kind(40)
def values_decoded(toys, rng):
    latents = np.asarray(toys.latents.chunks(0, 1))[None]
    arguments, label = {}, []
    name = pick(rng, ("latents", "latents", "noise_scale", "times", "whole", "origin"))
    if name == "latents":
        latents, value = spoil(
            rng, latents, pick(rng, ("float16", "float32", "float64"))
        )
    elif name == "times":
        value = [pick(rng, NUMBERS) for _ in range(int(rng.integers(1, 3)))]
        arguments["times"] = value
    elif name == "whole":
        name = pick(rng, ("num_steps", "seed", "num_frames"))
        # More steps or frames are allowed, and take long.
        large = WHOLE if name == "seed" else (0, -1, 1, 1.5, np.nan, None, "1", True, 2)
        value = arguments[name] = pick(rng, large)
    elif name == "origin":
        value = arguments["origin"] = tuple(pick(rng, WHOLE[:8]) for _ in range(3))
    else:
        value = arguments["noise_scale"] = pick(rng, NUMBERS)
    if rng.random() < 0.3:
        arguments.setdefault("num_steps", 2)
    policy = pick(rng, (None, None, "mixed_float16", "mixed_bfloat16"))
    label = f"decode {name}={value}, {policy}"
    dtype = pick(rng, ("float32", "uint8"))

    def run():
        try:
            model = load_model(toys.preset, dtype=policy)
            return model.decode(latents, dtype=dtype, **arguments)
        except TypeError as error:
            # Words and None are no numbers.
            raise ValueError(error) from error

    return Attempt(label, call=run)


@kind(24)
def values_of_the_codec(toys, rng):
    name = pick(
        rng, ("fps", "speed", "times", "noise_scale", "seed", "latents", "batch")
    )
    latents, options, how = toys.latents, {}, {}
    if name == "times":
        count = int(rng.integers(1, 3))
        value = options[name] = [pick(rng, (*NUMBERS, 1.0)) for _ in range(count)]
    elif name == "seed":
        value = options[name] = pick(rng, WHOLE[:8])
    elif name == "latents":
        array, value = spoil(rng, latents.array)
        latents = dataclasses.replace(latents, array=array)
    elif name == "batch":
        name = pick(rng, ("batch_size", "tile_size", "max_memory", "blend_frames"))
        value = how[name] = pick(rng, (0, -1, 1, 7, 32, 10**9, 1.5, np.nan, "x", "2e9"))
    else:
        value = options[name] = pick(rng, (*NUMBERS, 0.5, 0.25))

    def run():
        try:
            codec = VideoCodec(load_model(toys.preset), **how)
            frames = []
            for frame in codec.decode_stream(latents, **options):
                frames.append(frame)
                if len(frames) > 20 * FRAMES:
                    break
            return frames
        except TypeError as error:
            raise ValueError(error) from error

    return Attempt(f"codec {name}={value}", call=run)
