"""Resizing and cropping of decoded frames."""

import dataclasses

import av
import numpy as np

from keras_regen.video import RgbConverter, is_on_its_side, turn_upright


@dataclasses.dataclass(frozen=True)
class Crop:
    """The part of a frame to take, and the size to resize the frame to first.

    The resized frame keeps its aspect ratio and covers the crop.

    Args:
        height: int. Rows of the crop.
        width: int. Columns of the crop.
        zoom: float, 1 or more. Size of the resized frame, relative to the smallest one
            that covers the crop. Frames larger than the crop are never enlarged.
            Defaults to `1.0`.
        top: float in [0, 1). Vertical position of the crop, from the top edge to the
            bottom edge. Defaults to `0.5`, the centre.
        left: float in [0, 1). Horizontal position, from left to right. Defaults to
            `0.5`, the centre.
    """

    height: int
    width: int
    zoom: float = 1.0
    top: float = 0.5
    left: float = 0.5

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Returns the size that a frame of `height` and `width` is resized to."""
        cover = max(self.height / height, self.width / width)
        scale = max(cover, min(cover * self.zoom, 1.0))
        return (
            max(self.height, round(scale * height)),
            max(self.width, round(scale * width)),
        )

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """Returns the crop of a resized frame."""
        top = int(self.top * (frame.shape[0] - self.height + 1))
        left = int(self.left * (frame.shape[1] - self.width + 1))
        return frame[top : top + self.height, left : left + self.width]


class Cropper:
    """Takes upright RGB crops of frames, with antialiasing.

    Colours are those of `RgbConverter`. Only one thread may use a cropper at a time.
    """

    def __init__(self) -> None:
        # Several clips are read at once; by default the scaler would use all cores.
        self._to_rgb = RgbConverter(threads=1)

    def __call__(self, frame: av.VideoFrame | np.ndarray, crop: Crop) -> np.ndarray:
        """Takes one crop.

        Args:
            frame: `av.VideoFrame` as decoded, or uint8 array of shape `(H, W, 3)`.
            crop: a `Crop`.

        Returns:
            uint8 array of shape `(crop.height, crop.width, 3)`.
        """
        if isinstance(frame, np.ndarray):
            size = crop.resized(*frame.shape[:2])
            if size == frame.shape[:2]:
                return crop.cut(frame)
            frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
            return crop.cut(self._to_rgb(frame, *size))
        if is_on_its_side(frame):
            width, height = crop.resized(frame.width, frame.height)
        else:
            height, width = crop.resized(frame.height, frame.width)
        return crop.cut(turn_upright(self._to_rgb(frame, height, width), frame))
