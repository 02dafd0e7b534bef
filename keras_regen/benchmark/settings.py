"""What is to be measured, checked before Keras is imported."""

import dataclasses
import importlib.util

CASES = ("encode", "decode", "dit", "train")
# Those that a peer has too.
PEER_CASES = ("encode", "decode")
PEERS = ("cosmos", "ltx", "wan", "cogvideox")
# What each policy computes in.
PRECISIONS = {
    "float32": "float32",
    "mixed_bfloat16": "bfloat16",
    "mixed_float16": "float16",
}
# Of a patch; frames must be whole patches.
SIDE_STEP = 8


@dataclasses.dataclass(frozen=True)
class Settings:
    """Every model at every k, size, precision and case.

    Args:
        models: tuple of str. Names of architectures, with random weights, and presets.
        cases: tuple of str, of `CASES`: `"encode"` and `"decode"`, as
            `Regen.encode` and `Regen.decode`, copies to and from the host included;
            `"dit"`, one forward of the decoder; `"train"`, a training step with AdamW.
        compressions: tuple of int, k. Chunks have k + 1 frames. Empty for 8, or the
            preset's own.
        sizes: tuple of `(height, width)`, multiples of 8 pixels.
        dtypes: tuple of str, of `PRECISIONS`: dtype policies.
        batch_size: int. Chunks at a time. Defaults to `1`.
        num_steps: int. Sampling steps of `"decode"`. Defaults to `1`.
        repeats: int. Samples of each case. Defaults to `5`.
        peers: tuple of str, of `PEERS`: what to encode and decode with beside ours.
        any_load: bool. Whether samples count that were taken while something else kept
            the machine busy. Defaults to `False`.

    Raises:
        ValueError: if one of them is not as above.
        ImportError: if the peers are not installed.
    """

    models: tuple
    cases: tuple = ("encode", "decode")
    compressions: tuple = ()
    sizes: tuple = ((128, 128),)
    dtypes: tuple = ("float32",)
    batch_size: int = 1
    num_steps: int = 1
    repeats: int = 5
    peers: tuple = ()
    any_load: bool = False

    def __post_init__(self):
        _check_known("case", self.cases, CASES)
        _check_known("dtype", self.dtypes, PRECISIONS)
        _check_known("peer", self.peers, PEERS)
        for height, width in self.sizes:
            if (
                min(height, width) < SIDE_STEP
                or height % SIDE_STEP
                or width % SIDE_STEP
            ):
                raise ValueError(
                    f"Sizes must be multiples of {SIDE_STEP} pixels. "
                    f"Received: size={height}x{width}"
                )
        for name in ("batch_size", "num_steps", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1. "
                    f"Received: {name}={getattr(self, name)}"
                )
        if self.peers and not importlib.util.find_spec("diffusers"):
            raise ImportError("Peers need diffusers: pip install keras-regen[peers]")


def _check_known(name, values, known):
    for value in values:
        if value not in known:
            raise ValueError(
                f"The {name} must be one of {', '.join(known)}. "
                f"Received: {name}={value}"
            )
