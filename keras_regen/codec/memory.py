"""How much memory frames take, and how much is computed at once by default."""

import os

import numpy as np

from keras_regen.hardware import on_accelerator

# Bytes for the model, where no budget is given. The frames of one chunk come on top.
DEFAULT_MEMORY = 2 * 10**9
# The most patches, of 8x8 pixels of a frame, in a batch. More are no faster on a CPU,
# and take more memory.
TOKENS_AT_ONCE = 8192
_FLOAT32_BYTES = 4
# Limits for the frames that wait to be written: their total bytes, and the range of
# their number.
_WAITING_BYTES = 10**8
_WAITING_FRAMES = 4, 64


def max_chunks_at_once() -> int:
    """Returns the most chunks in a batch.

    Batches are always full, so a short video fills the rest of its batch with copies,
    and a stream waits until a batch is full. CPUs are as fast with one chunk.
    """
    return 4 if on_accelerator() else 1


def default_memory(frames: int) -> int:
    """Returns the budget where none is given: `DEFAULT_MEMORY` and the frames' bytes.

    Frames that take more than half of the machine's memory do not fit into it, such as
    those of a long gap between two frames.
    """
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        # Windows, or a system that does not tell.
        return DEFAULT_MEMORY + frames
    return DEFAULT_MEMORY + frames if frames <= machine // 2 else machine // 2


def frame_bytes(frames: int, height: int, width: int, dtype: str = "uint8") -> int:
    """Returns the memory of decoded frames: decoded, fading and output.

    Frames are decoded in float32, and half of them again may be fading. In the dtype of
    the output they are held twice: while they are mixed, and while they wait to be
    shown.

    Args:
        frames: int. Frames that are decoded together.
        height: int. Rows of a frame.
        width: int. Columns of a frame.
        dtype: str. The dtype of the output. Defaults to `"uint8"`.
    """
    values = int(np.prod([frames, height, width, 3]))
    return int(1.5 * _FLOAT32_BYTES * values) + 2 * np.dtype(dtype).itemsize * values


def waiting_frames(height: int, width: int) -> int:
    """Returns how many frames of a size may wait to be written: 4 to 64."""
    return int(np.clip(_WAITING_BYTES // (3 * height * width), *_WAITING_FRAMES))
