"""HDR video (PQ and HLG), and the gamut of BT.2020, shown on an SDR screen."""

import functools
import struct
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type

# Transfer functions by their code points of ITU-T H.273, FFmpeg's AVCOL_TRC_*.
PQ = 16
HLG = 18
# cd/m2. Diffuse white of HDR video (BT.2408), which the SDR screen shows as its
# brightest: so all that is no highlight is as bright as the author saw it.
WHITE = 203.0
# The brightest that HLG is made for, and PQ that does not tell its own.
DEFAULT_PEAK = 1000.0
MAX_PEAK = 10_000.0
# What FFmpeg's scaler gives for 1 in 16 bits.
ONE = 65280
# Linear RGB of BT.2020 to that of BT.709 (BT.2087).
TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008350],
        [-0.018151, -0.100579, 1.118730],
    ],
    "float32",
)
LUMINANCE_BT2020 = np.array([0.2627, 0.6780, 0.0593], "float32")
# Gamma of an SDR screen (BT.1886), and of HLG's screen of 1000 cd/m2 (BT.2100).
SDR_GAMMA, HLG_GAMMA = 2.4, 1.2
# Rows are converted in blocks of about this many pixels, which bounds the memory.
_BLOCK = 2**18
_CURVE_POINTS = 4096


def to_sdr(rgb: np.ndarray, transfer: int, peak: float = DEFAULT_PEAK) -> np.ndarray:
    """Maps video of the BT.2020 gamut to SDR of BT.709.

    HDR is made linear. Luminances are compressed by the curve of BT.2390, which leaves
    the darker ones alone. The brightest channel of a pixel decides, so colours keep
    their hue. What is outside the gamut of BT.709 is clipped.

    Args:
        rgb: uint16 array of shape `(H, W, 3)`: the signal, in which `ONE` is 1.
        transfer: int. `PQ` or `HLG`; others mean SDR, which is not compressed.
        peak: float. Luminance of the brightest white, in cd/m2. Defaults to 1000.

    Returns:
        uint8 array of shape `(H, W, 3)`.
    """
    result = np.empty(rgb.shape, "uint8")
    rows = max(1, _BLOCK // rgb.shape[1])
    for i in range(0, len(rgb), rows):
        linear = _linear(rgb[i : i + rows], transfer)
        if transfer in (PQ, HLG):
            linear = _compressed(linear, DEFAULT_PEAK if transfer == HLG else peak)
        linear = np.clip(linear @ TO_BT709.T, 0, 1)
        result[i : i + rows] = np.rint(255 * linear ** np.float32(1 / SDR_GAMMA))
    return result


def peak_luminance(frame: av.VideoFrame) -> float:
    """Returns the luminance of the brightest white of an `av.VideoFrame`, in cd/m2.

    The file may tell it: as the brightest pixel of the video, or as the brightest that
    the screen of its author could show.
    """
    found = side_data(frame, Type.CONTENT_LIGHT_LEVEL)
    peak = struct.unpack_from("=I", found)[0] if len(found) >= 4 else 0
    found = side_data(frame, Type.MASTERING_DISPLAY_METADATA)
    if not peak and len(found) >= 88:
        # Twelve rational numbers: primaries, white point, and luminances.
        numerator, denominator, _, has_luminance = struct.unpack_from("=4i", found, 72)
        if has_luminance and denominator:
            peak = numerator / denominator
    return float(min(peak, MAX_PEAK)) if peak > 0 else DEFAULT_PEAK


def side_data(frame: av.VideoFrame, kind: Type) -> bytes:
    """Returns a frame's side data of one kind, or `b""`."""
    try:
        sides: Any = frame.side_data
        found = sides.get(kind)
    except ValueError:
        # Some versions of PyAV do not know all kinds, and then return none.
        return b""
    return b"" if found is None else bytes(found)


def _linear(rgb, transfer):
    """Returns linear light: in cd/m2 for HDR, in [0, 1] for SDR."""
    linear = _linear_table(transfer)[rgb]
    if transfer != HLG:
        return linear
    luminance = linear @ LUMINANCE_BT2020
    gain = np.float32(DEFAULT_PEAK) * luminance ** np.float32(HLG_GAMMA - 1)
    return linear * gain[..., None]


@functools.cache
def _linear_table(transfer):
    signal = np.minimum(np.arange(65536) / ONE, 1)
    if transfer == PQ:
        linear = _pq_to_luminance(signal)
    elif transfer == HLG:
        linear = np.where(
            signal <= 0.5,
            signal**2 / 3,
            (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12,
        )
    else:
        linear = signal**SDR_GAMMA
    return linear.astype("float32")


def _compressed(linear, peak):
    """Returns luminances up to `peak` as shares of the SDR screen's, in [0, 1]."""
    points, gains = _curve(peak)
    brightest = linear.max(axis=-1)
    gain = np.interp(np.sqrt(brightest), points, gains).astype("float32")
    return linear * gain[..., None]


@functools.lru_cache(8)
def _curve(peak):
    """Returns square roots of luminances, and what to multiply the luminances by."""
    points = np.linspace(0, np.sqrt(MAX_PEAK), _CURVE_POINTS)
    luminance = points**2
    if peak <= WHITE:
        return points, np.minimum(1 / WHITE, 1 / np.maximum(luminance, WHITE))
    top = _luminance_to_pq(peak)
    limit = _luminance_to_pq(WHITE) / top
    knee = 1.5 * limit - 0.5
    signal = np.minimum(_luminance_to_pq(luminance) / top, 1)
    t = np.clip((signal - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * limit
    )
    shown = _pq_to_luminance(top * np.where(signal < knee, signal, spline))
    gains = shown[1:] / luminance[1:] / WHITE
    return points, np.concatenate([gains[:1], gains])


# === The PQ curve (BT.2100) ===

_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128


def _pq_to_luminance(signal):
    power = signal ** (1 / _M2)
    return MAX_PEAK * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _luminance_to_pq(luminance):
    power = (luminance / MAX_PEAK) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
