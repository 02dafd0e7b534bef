"""The settings of a benchmark, checked before Keras is imported."""

import dataclasses
import importlib.util
import math

from keras_regen.checks import check_whole
from keras_regen.pixels import SPATIAL_COMPRESSION

CASES = ("encode", "decode", "dit", "train")
# The cases that peers have too.
PEER_CASES = ("encode", "decode")
PEERS = ("cosmos", "ltx", "wan", "cogvideox")
# The compute dtype of each policy.
PRECISIONS = {
    "float32": "float32",
    "mixed_bfloat16": "bfloat16",
    "mixed_float16": "float16",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Measures every model at every k, size, precision and case.

    Args:
        models: tuple of str. Names of architectures, with random weights, and presets.
        cases: tuple of str from `CASES`: `"encode"` and `"decode"`, which call
            `Regen.encode` and `Regen.decode` and include copies to and from the host;
            `"dit"`, one forward pass of the decoder; `"train"`, a training step with
            AdamW.
        compressions: tuple of int, k. Chunks have k + 1 frames. Empty for 8, or the
            preset's own.
        sizes: tuple of `(height, width)`, multiples of 8 pixels.
        dtypes: tuple of str from `PRECISIONS`: dtype policies.
        batch_size: int. Chunks in a batch. Defaults to `1`.
        num_steps: int. Sampling steps of `"decode"`. Defaults to `1`.
        repeats: int. Timing samples of each case. Defaults to `5`.
        peers: tuple of str from `PEERS`: other autoencoders to encode and decode with.
        any_load: bool. Whether to keep samples taken while other processes kept the
            machine busy. Defaults to `False`.

    Raises:
        ValueError: if an argument is not as above.
        ImportError: if there are peers and diffusers is not installed.
    """

    models: tuple[str, ...]
    cases: tuple[str, ...] = ("encode", "decode")
    compressions: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ((128, 128),)
    dtypes: tuple[str, ...] = ("float32",)
    batch_size: int = 1
    num_steps: int = 1
    repeats: int = 5
    peers: tuple[str, ...] = ()
    any_load: bool = False

    def __post_init__(self) -> None:
        _check_known("case", self.cases, CASES)
        _check_known("dtype", self.dtypes, PRECISIONS)
        _check_known("peer", self.peers, PEERS)
        for height, width in self.sizes:
            aligned = height % SPATIAL_COMPRESSION == width % SPATIAL_COMPRESSION == 0
            if min(height, width) < 1 or not aligned:
                raise ValueError(
                    f"Sizes must be multiples of {SPATIAL_COMPRESSION} pixels. "
                    f"Received: size={height}x{width}"
                )
        names = ("batch_size", "num_steps", "repeats")
        check_whole(1, math.inf, **{name: getattr(self, name) for name in names})
        if self.peers and not importlib.util.find_spec("diffusers"):
            raise ImportError("Peers need diffusers: pip install keras-regen[peers]")


def _check_known(name, values, known):
    for value in values:
        if value not in known:
            raise ValueError(
                f"The {name} must be one of {', '.join(known)}. "
                f"Received: {name}={value}"
            )
