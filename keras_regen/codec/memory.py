"""How much memory encoding and decoding take, and what fits into a budget."""

import numpy as np

# Beside the frames of one chunk, where no budget is given.
DEFAULT_MEMORY = 2 * 10**9
FLOAT32 = 4
# Of frames that wait to be written, but for the fewest and the most of them.
WAITING_BYTES = 10**8
WAITING_FRAMES = 4, 64


def frame_bytes(frames, height, width, dtype="uint8"):
    """Memory of so many decoded frames, of those that fade, and of the output.

    Frames are decoded in float32. As many are held twice in the dtype of the output:
    those being mixed, and those that wait to be shown.
    """
    values = int(np.prod([frames, height, width, 3]))
    return int(1.5 * FLOAT32 * values) + 2 * np.dtype(dtype).itemsize * values


def waiting_frames(height, width):
    """How many frames may wait to be written: those of some chunks, or of a part."""
    return int(np.clip(WAITING_BYTES // (3 * height * width), *WAITING_FRAMES))
