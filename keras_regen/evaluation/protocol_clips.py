"""Reading the clips of a video that a protocol scores."""

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from keras_regen.checks import check_whole
from keras_regen.pixels import to_uint8
from keras_regen.types import StrPath
from keras_regen.video import VideoReader

if TYPE_CHECKING:
    from keras_regen.evaluation.protocols import Protocol

FILTERS = {
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "lanczos": PIL.Image.Resampling.LANCZOS,
}


class ProtocolClips:
    """Iterates over the clips of a video, with one clip in memory.

    Args:
        protocol: `Protocol`.
        path: path of a video.
        fps: float or None. Replaces the frame rate of the file. Defaults to `None`.
        max_clips: int or None. The maximum number of clips, from the start. Defaults to
            `None`, all clips.

    Attributes, set by the last iteration:
        fps: float. Frames per second of the clips.
        num_clips: int. Clips read.
        num_repeated: int. Frames of the last clip that repeat the video's last frame.
        num_dropped: int. Frames at the end that were too few for a clip. If `num_clips`
            is 0, the video is too short.

    Returns:
        Iterating yields uint8 arrays of shape `(T, H, W, 3)`, all of the same size.

    Raises:
        ValueError: during iteration, if the video cannot be read.
    """

    def __init__(
        self,
        protocol: "Protocol",
        path: StrPath,
        fps: float | None = None,
        max_clips: int | None = None,
    ) -> None:
        if max_clips is not None:
            check_whole(1, math.inf, max_clips=max_clips)
        self.protocol = protocol
        self.path = path
        self.max_clips = 1 if protocol.which_clips == "first" else max_clips
        self._fps = fps
        self.fps: float | None = None
        self.num_clips = self.num_repeated = self.num_dropped = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        self.num_clips = self.num_repeated = self.num_dropped = 0
        length = self.protocol.num_frames
        clip: np.ndarray | None = None
        count = 0
        with VideoReader(self.path, self._fps) as reader:
            interval = self._interval(reader.fps)
            self.fps = reader.fps / interval
            for frame in itertools.islice(reader, 0, None, interval):
                frame = self._prepare(frame)
                if clip is None:
                    clip = np.empty((length, *frame.shape), "uint8")
                clip[count] = frame
                count += 1
                if count == length:
                    self.num_clips += 1
                    yield clip
                    clip, count = None, 0
                    if self.num_clips == self.max_clips:
                        return
        if clip is None:
            return
        if self.protocol.short == "drop":
            self.num_dropped = count
            return
        self.num_clips += 1
        if self.protocol.short == "repeat":
            self.num_repeated = length - count
            clip[count:] = clip[count - 1]
            count = length
        yield clip[:count]

    def _interval(self, fps):
        if self.protocol.max_fps is None:
            return 1
        return max(1, round(fps / self.protocol.max_fps))

    def _prepare(self, frame):
        """Resizes a frame and crops its centre."""
        frame = to_uint8(frame)
        height, width = self._size(*frame.shape[:2])
        if (height, width) != frame.shape[:2]:
            image = PIL.Image.fromarray(frame)
            image = image.resize((width, height), FILTERS[self.protocol.resize])
            frame = np.asarray(image)
        if self.protocol.crop is None:
            return frame
        # Rounds halves to even, like torchvision's CenterCrop.
        crop_height, crop_width = self.protocol.crop
        top, left = round((height - crop_height) / 2), round((width - crop_width) / 2)
        return frame[top : top + crop_height, left : left + crop_width]

    def _size(self, height, width):
        """Returns the size to resize frames to, which covers the crop."""
        crop_height, crop_width = self.protocol.crop or (1, 1)
        scale = max(
            self.protocol.short_side / min(height, width),
            crop_height / height,
            crop_width / width,
        )
        if scale > 1 and not self.protocol.enlarge:
            return height, width
        # torchvision rounds down, mediapy to the nearest; 1e-6 absorbs rounding errors.
        half = 1e-6 if self.protocol.resize == "bilinear" else 0.5
        return (
            max(crop_height, math.floor(height * scale + half)),
            max(crop_width, math.floor(width * scale + half)),
        )
