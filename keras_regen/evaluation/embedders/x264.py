"""H.264, the baseline from classical video coding."""

import fractions
import re
from typing import Any

import av
import numpy as np

from keras_regen.evaluation.embedders.embedder import (
    Embedder,
    Reconstruction,
    check_frames,
    num_latent_bits,
)
from keras_regen.video import h264_pixel_format, tag_bt709

PRESET = "medium"
# Rate control weights frames by their duration.
FPS = 25
# The output of x264 depends on it.
THREADS = 4
WORST_CRF = 51
# The step of the search for the constant rate factor is 1/32.
STEPS_PER_CRF = 32


class X264:
    """H.264 by x264, with at most as many bits as the latents of `match`.

    Finds the lowest constant rate factor that fits by bisection. Only the bare stream
    counts, without a container and without the text in which x264 signs it. Chroma has
    half the resolution if both sides are even, and full resolution otherwise. Colours
    are BT.709, as in the files that this package writes.

    Args:
        match: `Embedder` that sets the number of bits. It is exceeded only if x264's
            lowest quality needs more. `Reconstruction.num_bits` is the number used.
        name: str. Defaults to `"x264"`.
    """

    def __init__(self, match: Embedder, name: str = "x264") -> None:
        self.match = match
        self.name = name

    @property
    def identity(self) -> list[Any]:
        """See `Embedder`."""
        return [self.match.name, getattr(self.match, "identity", None)]

    def reconstruct(self, video: np.ndarray) -> Reconstruction:
        """See `Embedder`."""
        check_frames(video)
        budget = num_latent_bits(self.match, *video.shape[:3])
        low, high = 0, WORST_CRF * STEPS_PER_CRF
        size = video.shape[1:3]
        planes = [*map(to_planes, video)]
        packets = _encode(planes, size, WORST_CRF)
        while low < high:
            middle = (low + high) // 2
            candidate = _encode(planes, size, middle / STEPS_PER_CRF)
            if _num_bits(candidate) <= budget:
                packets, high = candidate, middle
            else:
                low = middle + 1
        return Reconstruction(_decode(packets), None, _num_bits(packets))

    def num_values(self, num_frames: int, height: int, width: int) -> None:
        """Returns None, because it has no latents."""
        return None


def _encode(planes, size, crf):
    """Returns the packets of frames in planes, of a size `(height, width)`."""
    context = av.CodecContext.create("libx264", "w")
    context.height, context.width = size
    context.pix_fmt = pixel_format = h264_pixel_format(*size)
    context.framerate = fractions.Fraction(FPS)
    context.time_base = fractions.Fraction(1, FPS)
    tag_bt709(context)
    context.thread_count = THREADS
    context.options = {"preset": PRESET, "crf": str(crf)}
    packets = []
    for i, array in enumerate(planes):
        frame = av.VideoFrame.from_ndarray(array, format=pixel_format)
        frame.pts = i
        packets += context.encode(frame)
    packets += context.encode(None)
    return [_unsigned(bytes(packet)) for packet in packets]


def _unsigned(packet):
    """Removes the encoder's text: units of SEI (6) with unregistered user data (5)."""
    units = re.split(rb"\x00?\x00\x00\x01", packet)[1:]
    kept = [u for u in units if not (u[0] & 31 == 6 and u[1] == 5)]
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in kept)


def _num_bits(packets):
    return 8 * sum(map(len, packets))


def _decode(packets):
    """Returns the uint8 video of packets."""
    context = av.CodecContext.create("h264", "r")
    frames = [f for packet in packets for f in context.decode(av.Packet(packet))]
    frames += context.decode(None)
    return np.stack([to_rgb(frame.to_ndarray()) for frame in frames])


# === BT.709 ===
#
# FFmpeg's own conversion to 4:2:0 and back makes a video one of 255 levels darker. In a
# good encoding, that would be most of the error.

RED, BLUE = 0.2126, 0.0722
_LUMINANCE = np.array([RED, 1 - RED - BLUE, BLUE])
# From RGB in [0, 255] to 219 levels of luminance and 224 of each colour difference.
_FORWARD = (
    np.stack(
        [
            219 * _LUMINANCE,
            112 * ([0, 0, 1] - _LUMINANCE) / (1 - BLUE),
            112 * ([1, 0, 0] - _LUMINANCE) / (1 - RED),
        ]
    )
    / 255
)
_INVERSE = np.linalg.inv(_FORWARD)
_OFFSET = np.array([16, 128, 128])


def to_planes(frame: np.ndarray) -> np.ndarray:
    """Returns the planes of a uint8 frame `(H, W, 3)`, stacked as in PyAV."""
    height, width, _ = frame.shape
    planes = np.moveaxis(frame @ _FORWARD.T + _OFFSET, -1, 0)
    if h264_pixel_format(height, width) == "yuv444p":
        return _to_uint8(planes)
    chroma = planes[1:].reshape(2, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    chroma = chroma.reshape(height // 2, width)
    return _to_uint8(np.concatenate([planes[0], chroma]))


def to_rgb(planes: np.ndarray) -> np.ndarray:
    """Returns the uint8 frame `(H, W, 3)` for planes from `to_planes`."""
    if planes.ndim == 2:
        height, width = planes.shape[0] * 2 // 3, planes.shape[1]
        chroma = planes[height:].reshape(2, height // 2, width // 2)
        chroma = _doubled(_doubled(chroma, axis=1), axis=2)
        planes = np.concatenate([planes[None, :height], chroma])
    return _to_uint8((np.moveaxis(planes, 0, -1) - _OFFSET) @ _INVERSE.T)


def _doubled(planes, axis):
    """Doubles the samples along an axis by linear interpolation."""
    padded = np.moveaxis(planes, axis, 0).astype("float64")
    padded = np.concatenate([padded[:1], padded, padded[-1:]])
    before, own, after = padded[:-2], padded[1:-1], padded[2:]
    pairs = np.stack([0.75 * own + 0.25 * before, 0.75 * own + 0.25 * after], axis=1)
    return np.moveaxis(pairs.reshape(-1, *own.shape[1:]), 0, axis)


def _to_uint8(array):
    return np.rint(np.clip(array, 0, 255)).astype("uint8")
