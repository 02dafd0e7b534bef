"""From the colours of decoded frames to RGB as an SDR screen shows it, and back."""

from collections.abc import Callable
from typing import Literal

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from keras_regen.video.tone_mapping import HLG, PQ, peak_luminance, to_sdr

# Code points of ITU-T H.273, FFmpeg's AVCOL_SPC_*, AVCOL_PRI_* and AVCOL_RANGE_*.
BT709 = 1
UNSPECIFIED = 2
BT2020 = 9
LIMITED_RANGE = 1
# FFmpeg's SWS_BICUBIC, SWS_FULL_CHR_H_INT, SWS_FULL_CHR_H_INP and SWS_ACCURATE_RND.
# Without the last three, the scaler truncates, and a video is 1.2 levels of 255 darker
# after one conversion to 4:2:0 and back. With them it differs by less than 0.1.
EXACT = 0x4 | 0x2000 | 0x4000 | 0x40000
# Players such as mpv take untagged colours of videos beyond standard definition for
# BT.709. FFmpeg's scaler takes them for BT.601, which shifts pure red by 22 of 255. Raw
# video and most H.264 files of data sets are untagged.
SD_WIDTH, SD_HEIGHT = 1279, 576
TRANSFERS = {PQ: "PQ", HLG: "HLG"}


def set_colour_space(frame: av.VideoFrame) -> av.VideoFrame:
    """Returns an `av.VideoFrame`; if its colours are untagged, sets their space."""
    large = frame.width > SD_WIDTH or frame.height > SD_HEIGHT
    if large and frame.colorspace == UNSPECIFIED and not frame.format.is_rgb:
        frame.colorspace = BT709
    return frame


class RgbConverter:
    """Converts decoded frames to RGB, and resizes them with antialiasing.

    HDR video (PQ and HLG) is tone-mapped to SDR, and the gamut of BT.2020 is mapped to
    that of BT.709. Transparent pixels show white in images and animations (formats of
    RGB, such as GIF and PNG), as on a page, and black in video, as in players.

    FFmpeg's scaler converts and resizes in one step. It reuses its tables while the
    sizes stay the same. Only one thread may use a converter at a time.

    Args:
        note: callable or None. Called with a str, for each thing that a frame loses.
        threads: int. Threads of the scaler, or 0 for all cores. Defaults to `0`.
    """

    def __init__(
        self, note: Callable[[str], object] | None = None, threads: int = 0
    ) -> None:
        self._note = note or (lambda notice: None)
        self._threads = threads
        self._reformatter = VideoReformatter()

    def __call__(
        self, frame: av.VideoFrame, height: int | None = None, width: int | None = None
    ) -> np.ndarray:
        """Converts a frame.

        Args:
            frame: `av.VideoFrame`.
            height: int or None. Rows to resize to. Defaults to the frame's.
            width: int or None. Columns to resize to. Defaults to the frame's.

        Returns:
            uint8 array of shape `(height, width, 3)`, not turned upright.
        """
        if frame.color_trc in TRANSFERS or frame.color_primaries == BT2020:
            return self._tone_mapped(frame, height, width)
        if not _has_alpha(frame.format):
            return self._to_array(frame, "rgb24", height, width)
        is_video = frame.format.name.startswith("yuva")
        rgba = self._to_array(frame, "rgba", height, width)
        return composite(rgba, "black" if is_video else "white", self._note)

    def _tone_mapped(self, frame, height, width):
        transfer = TRANSFERS.get(frame.color_trc)
        if transfer:
            self._note(f"it is HDR video ({transfer}) and is tone-mapped to SDR")
        rgb = self._to_array(frame, "rgb48le", height, width)
        return to_sdr(rgb, frame.color_trc, peak_luminance(frame))

    def _to_array(self, frame, name, height, width):
        return self._reformatter.reformat(
            frame,
            format=name,
            height=height,
            width=width,
            interpolation=EXACT,
            threads=self._threads,
        ).to_ndarray()


def composite(
    rgba: np.ndarray,
    background: Literal["black", "white"],
    note: Callable[[str], object],
) -> np.ndarray:
    """Shows a picture on a background.

    Args:
        rgba: uint8 array of shape `(H, W, 4)`, not premultiplied.
        background: `"black"` or `"white"`.
        note: callable, called with a str if a pixel is not opaque.

    Returns:
        uint8 array of shape `(H, W, 3)`.
    """
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgb)
    note(f"its alpha is lost: transparent pixels are {background}")
    level = 255 if background == "white" else 0
    share = alpha.astype("float32") / 255
    return np.rint(rgb * share + level * (1 - share)).astype("uint8")


def _has_alpha(pixel_format):
    return pixel_format.name == "pal8" or any(
        component.is_alpha for component in pixel_format.components
    )


# === Writing ===


def tag_bt709(context: av.VideoCodecContext) -> None:
    """Marks the colours of a codec context as BT.709 in limited range."""
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED_RANGE


def h264_pixel_format(height: int, width: int) -> str:
    """Returns FFmpeg's name of the pixel format for a size of frames.

    Chroma at half resolution needs even sides.
    """
    return "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"


class YuvConverter:
    """Converts uint8 RGB frames to luma and chroma of BT.709, in limited range.

    Args:
        pixel_format: str. FFmpeg's name.
    """

    def __init__(self, pixel_format: str) -> None:
        self._format = pixel_format
        self._reformatter = VideoReformatter()

    def __call__(self, array: np.ndarray) -> av.VideoFrame:
        """Returns the `av.VideoFrame` of an array of shape `(H, W, 3)`."""
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(array, format="rgb24"),
            format=self._format,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=LIMITED_RANGE,
            interpolation=EXACT,
        )
        frame.color_primaries = frame.color_trc = BT709
        return frame
