"""The noise canvas."""

import numpy as np

NOISE_BLOCK = 64
# Fractions of a frame that have noise of their own.
NOISE_TIME_RESOLUTION = 65536


def noise_canvas(seed, times, rows, columns, channels=3):
    """Standard normal noise that depends on (seed, time, row, column, channel) alone.

    Every decode crops one infinite canvas, so chunks, tiles and frames in between see
    the noise of their own place whatever is decoded beside them, on every backend.
    Blocks of 64x64 pixels of one frame come from a counter-based generator whose raw
    output NumPy guarantees; the normal variables are Box and Muller's.

    Args:
        seed: int in [0, 2**64). Picks the canvas.
        times: float array of shape `(F,)`. Absolute times in frames; may be negative.
        rows: tuple of int `(start, stop)`, in absolute pixels, at least 0.
        columns: tuple of int `(start, stop)`, likewise.
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
    first_row, first_column = rows[0] // NOISE_BLOCK, columns[0] // NOISE_BLOCK
    last_row, last_column = -(-rows[1] // NOISE_BLOCK), -(-columns[1] // NOISE_BLOCK)
    canvas = np.empty(
        (
            len(ticks),
            (last_row - first_row) * NOISE_BLOCK,
            (last_column - first_column) * NOISE_BLOCK,
            channels,
        ),
        "float32",
    )
    for i, tick in enumerate(ticks):
        for row in range(first_row, last_row):
            for column in range(first_column, last_column):
                y, x = (
                    (row - first_row) * NOISE_BLOCK,
                    (column - first_column) * NOISE_BLOCK,
                )
                canvas[i, y : y + NOISE_BLOCK, x : x + NOISE_BLOCK] = _block(
                    seed, int(tick), row, column, channels
                )
    top, left = (
        rows[0] - first_row * NOISE_BLOCK,
        columns[0] - first_column * NOISE_BLOCK,
    )
    return canvas[
        :, top : top + rows[1] - rows[0], left : left + columns[1] - columns[0]
    ]


def _block(seed, tick, row, column, channels):
    # The lowest word of the counter runs through the block; the others are its address.
    # A list of such numbers NumPy would round to float64.
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
