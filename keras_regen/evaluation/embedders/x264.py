"""The anchor of classical video coding."""

import fractions
import re

import av
import numpy as np

from keras_regen.evaluation.embedders import bt709
from keras_regen.evaluation.embedders.embedder import (
    Reconstruction,
    check_frames,
    num_latent_bits,
)
from keras_regen.video import h264_pixel_format, tag_bt709

PRESET = "medium"
# Rate control weighs frames by how long they are shown.
FPS = 25
# What x264 makes depends on it.
THREADS = 4
WORST_CRF = 51
# The constant rate factor is looked for in steps of 1/32.
STEPS_PER_CRF = 32


class X264:
    """H.264 by x264, of as many bits as the latents of `match` take.

    The constant rate factor is the least whose bits fit, found by bisection. Counted is
    the bare stream: no container, and not the text in which x264 signs it. Chroma has
    half the resolution where the sides are even, and all of it else; colours are
    tagged as BT.709, as in the files that this package writes.

    Args:
        match: `Embedder`, whose number of bits is exceeded only where x264's least
            quality takes more; `Reconstruction.num_bits` is what was spent.
        name: str. Defaults to `"x264"`.
    """

    def __init__(self, match, name="x264"):
        self.match = match
        self.name = name

    @property
    def identity(self):
        """See `Embedder`."""
        return [self.match.name, getattr(self.match, "identity", None)]

    def reconstruct(self, video):
        """See `Embedder`."""
        check_frames(video)
        budget = num_latent_bits(self.match, *video.shape[:3])
        low, high = 0, WORST_CRF * STEPS_PER_CRF
        size = video.shape[1:3]
        planes = [*map(bt709.to_planes, video)]
        packets = _encode(planes, size, WORST_CRF)
        while low < high:
            middle = (low + high) // 2
            candidate = _encode(planes, size, middle / STEPS_PER_CRF)
            if _num_bits(candidate) <= budget:
                packets, high = candidate, middle
            else:
                low = middle + 1
        return Reconstruction(_decode(packets), None, _num_bits(packets))

    def num_values(self, num_frames, height, width):
        """None: it has no latents."""
        return None


def _encode(planes, size, crf):
    """The packets of frames in planes, of so many rows and columns."""
    context = av.CodecContext.create("libx264", "w")
    context.height, context.width = size
    context.pix_fmt = pixel_format = h264_pixel_format(*size)
    context.framerate, context.time_base = FPS, fractions.Fraction(1, FPS)
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
    """A packet without the encoder's text: unregistered user data, 5, of an SEI, 6."""
    units = re.split(rb"\x00?\x00\x00\x01", packet)[1:]
    kept = [u for u in units if not (u[0] & 31 == 6 and u[1] == 5)]
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in kept)


def _num_bits(packets):
    return 8 * sum(map(len, packets))


def _decode(packets):
    """The uint8 video of packets."""
    context = av.CodecContext.create("h264", "r")
    frames = [f for packet in packets for f in context.decode(av.Packet(packet))]
    frames += context.decode(None)
    return np.stack([bt709.to_rgb(frame.to_ndarray()) for frame in frames])
