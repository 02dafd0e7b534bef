"""The noise canvas."""

import numpy as np

# Side of the blocks that are drawn together, in pixels.
NOISE_BLOCK = 64
# Times in one frame that have different noise.
NOISE_TIME_RESOLUTION = 65536


def noise_canvas(seed, times, rows, columns, channels=3):
    """Draws standard normal noise that depends on its position alone.

    Each value is a function of (seed, time, row, column, channel), the same on every
    backend. Decodes crop one infinite canvas, so the noise of a chunk, a tile or a
    frame between two others does not depend on what else is decoded. A counter-based
    generator, whose raw output NumPy guarantees, draws blocks of 64x64 pixels of one
    frame, and the Box-Muller transform makes them normal.

    Args:
        seed: int in [0, 2**64). Picks the canvas.
        times: float array of shape `(F,)`. Absolute times in frames; may be negative.
        rows: tuple of int `(start, stop)`, in absolute pixels, at least 0.
        columns: tuple of int `(start, stop)`, in absolute pixels, at least 0.
        channels: int. Defaults to `3`.

    Returns:
        float32 NumPy array of shape `(F, stop - start, stop - start, channels)`.

    Raises:
        ValueError: if the seed or a range is outside its bounds.

    Example:

    >>> canvas = noise_canvas(0, [0.0, 1.0], (0, 100), (0, 100))
    >>> crop = noise_canvas(0, [1.0], (40, 90), (60, 70))
    >>> bool((canvas[1:, 40:90, 60:70] == crop).all())
    True

    Reference:
        Salmon et al. 2011, *Parallel Random Numbers: As Easy as 1, 2, 3* (Philox).
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"`seed` must be in [0, 2**64). Received: seed={seed}")
    for name, (start, stop) in {"rows": rows, "columns": columns}.items():
        if not 0 <= start < stop:
            raise ValueError(
                f"`{name}` must be (start, stop) with 0 <= start < stop. "
                f"Received: {name}={(start, stop)}"
            )
    ticks = np.rint(np.asarray(times, "float64") * NOISE_TIME_RESOLUTION).astype(
        "int64"
    )
    block_rows = range(rows[0] // NOISE_BLOCK, -(-rows[1] // NOISE_BLOCK))
    block_columns = range(columns[0] // NOISE_BLOCK, -(-columns[1] // NOISE_BLOCK))
    canvas = np.empty(
        (
            len(ticks),
            len(block_rows),
            NOISE_BLOCK,
            len(block_columns),
            NOISE_BLOCK,
            channels,
        ),
        "float32",
    )
    for i, tick in enumerate(ticks):
        for j, row in enumerate(block_rows):
            for k, column in enumerate(block_columns):
                canvas[i, j, :, k] = _block(seed, int(tick), row, column, channels)
    height, width = len(block_rows) * NOISE_BLOCK, len(block_columns) * NOISE_BLOCK
    canvas = canvas.reshape(len(ticks), height, width, channels)
    top, left = rows[0] % NOISE_BLOCK, columns[0] % NOISE_BLOCK
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    return canvas[:, top : top + height, left : left + width]


def _block(seed, tick, row, column, channels):
    # The lowest word of the counter runs through the block; the others are its address.
    # As an array: NumPy would round a list of numbers this large to float64.
    counter = np.array([0, tick % 2**64, row, column], "uint64")
    generator = np.random.Philox(key=seed, counter=counter)
    raw = generator.random_raw(NOISE_BLOCK * NOISE_BLOCK * channels // 2)
    scale = np.float32(2.0**-32)
    radius = ((raw >> np.uint64(32)).astype("float32") + np.float32(0.5)) * scale
    radius = np.sqrt(-2 * np.log(radius))
    angle = (raw & np.uint64(0xFFFFFFFF)).astype("float32") * scale
    angle = angle * np.float32(2 * np.pi)
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return normal.reshape(NOISE_BLOCK, NOISE_BLOCK, channels)
