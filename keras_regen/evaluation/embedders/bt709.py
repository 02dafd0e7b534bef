"""Colours as H.264 stores them: luminance and two differences, of ITU-R BT.709.

FFmpeg's own conversion to 4:2:0 and back makes a video one level darker, of 255, which
is most of the error of a good encoding.
"""

import numpy as np

from keras_regen.video import h264_pixel_format

RED, BLUE = 0.2126, 0.0722
_LUMINANCE = np.array([RED, 1 - RED - BLUE, BLUE])
# Of RGB in [0, 255]: 219 levels of luminance, 224 of either difference.
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


def to_planes(frame):
    """The planes of a uint8 frame `(H, W, 3)`, one after the other as PyAV has them."""
    height, width, _ = frame.shape
    planes = np.moveaxis(frame @ _FORWARD.T + _OFFSET, -1, 0)
    if h264_pixel_format(height, width) == "yuv444p":
        return _to_uint8(planes)
    chroma = planes[1:].reshape(2, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    chroma = chroma.reshape(height // 2, width)
    return _to_uint8(np.concatenate([planes[0], chroma]))


def to_rgb(planes):
    """The uint8 frame `(H, W, 3)` of the planes of `to_planes`."""
    if planes.ndim == 2:
        height, width = planes.shape[0] * 2 // 3, planes.shape[1]
        chroma = planes[height:].reshape(2, height // 2, width // 2)
        chroma = _doubled(_doubled(chroma, axis=1), axis=2)
        planes = np.concatenate([planes[None, :height], chroma])
    return _to_uint8((np.moveaxis(planes, 0, -1) - _OFFSET) @ _INVERSE.T)


def _doubled(planes, axis):
    """Twice as many samples along an axis, each between two of the means it is in."""
    padded = np.moveaxis(planes, axis, 0).astype("float64")
    padded = np.concatenate([padded[:1], padded, padded[-1:]])
    before, own, after = padded[:-2], padded[1:-1], padded[2:]
    pairs = np.stack([0.75 * own + 0.25 * before, 0.75 * own + 0.25 * after], axis=1)
    return np.moveaxis(pairs.reshape(-1, *own.shape[1:]), 0, axis)


def _to_uint8(array):
    return np.rint(np.clip(array, 0, 255)).astype("uint8")
