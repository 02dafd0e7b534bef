"""Where the frames of a video are."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class FrameIndex:
    """How many frames a video has and, in a container, when each is shown.

    Args:
        num_frames: int. Frames that can be read, exactly.
        pts: int64 array, the frames' timestamps, ascending; or None, if frames can only
            be counted from the start.
        keyframes: int64 array, positions of the frames that decoding can start at,
            ascending and beginning with 0; or None.
        damage: str or None. Why there are not as many frames as there should be.
    """

    num_frames: int
    pts: np.ndarray | None = None
    keyframes: np.ndarray | None = None
    damage: str | None = None

    def keyframe_before(self, position):
        """Which of `keyframes` to start at for a frame: the last up to it."""
        return int(np.searchsorted(self.keyframes, position, side="right")) - 1
