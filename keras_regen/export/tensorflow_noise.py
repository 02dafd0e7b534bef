"""The noise canvas as TensorFlow operations."""

import numpy as np
import tensorflow as tf

from keras_regen.diffusion import NOISE_BLOCK, NOISE_TIME_RESOLUTION

# Salmon et al. 2011, table 2 and section 4.2: multipliers and Weyl constants.
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROUNDS = 10
WORD = 2**64
LOW_HALF = 2**32 - 1


def noise_canvas(seeds, times, height, width, channels=3):
    """Draws `diffusion.noise_canvas` from row and column 0, for seeds given as tensors.

    Args:
        seeds: int64 tensor of shape `(S,)`, at least 0.
        times: float64 tensor of shape `(F,)`, in frames.
        height: int32 scalar tensor, in pixels.
        width: int32 scalar tensor, in pixels.
        channels: int. Defaults to `3`.

    Returns:
        float32 tensor of shape `(S, F, height, width, channels)`. The random bits equal
        those of NumPy's generator; sines and logarithms may differ in the last digit.
    """
    # On the CPU, because GPUs multiply 64-bit integers slowly.
    with tf.device("/CPU:0"):
        rows, columns = (
            (size + NOISE_BLOCK - 1) // NOISE_BLOCK for size in (height, width)
        )
        ticks = tf.cast(tf.round(times * NOISE_TIME_RESOLUTION), tf.int64)
        words_of_four = NOISE_BLOCK * NOISE_BLOCK * channels // 2 // 4
        # NumPy's generator increments its counter before it draws.
        draws = tf.constant(np.arange(1, words_of_four + 1, dtype="uint64"))
        # Axes: seed, time, row, column, draw.
        words = _philox(
            counter=(
                tf.reshape(draws, (1, 1, 1, 1, -1)),
                tf.reshape(tf.bitcast(ticks, tf.uint64), (1, -1, 1, 1, 1)),
                tf.reshape(_to_uint64(tf.range(rows)), (1, 1, -1, 1, 1)),
                tf.reshape(_to_uint64(tf.range(columns)), (1, 1, 1, -1, 1)),
            ),
            key=(tf.reshape(_to_uint64(seeds), (-1, 1, 1, 1, 1)), _uint64(0)),
        )
        raw = tf.stack(words, axis=-1)
        leading = tf.shape(raw)[:4]
        raw = tf.reshape(raw, tf.concat([leading, [-1]], 0))
        normal = tf.reshape(
            _box_muller(raw),
            tf.concat([leading, [NOISE_BLOCK, NOISE_BLOCK, channels]], 0),
        )
        canvas = tf.transpose(normal, (0, 1, 2, 4, 3, 5, 6))
        size = [rows * NOISE_BLOCK, columns * NOISE_BLOCK, channels]
        canvas = tf.reshape(canvas, tf.concat([leading[:2], size], 0))
        return canvas[:, :, :height, :width]


def _philox(counter, key):
    """Returns four words for each counter, by Philox 4x64-10. Shapes are broadcast."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for i in range(ROUNDS):
        high0, low0 = _product(MULTIPLIERS[0], c0)
        high1, low1 = _product(MULTIPLIERS[1], c2)
        round0 = k0 + _uint64(i * WEYL[0])
        round1 = k1 + _uint64(i * WEYL[1])
        c0, c2 = _xor(high1, c1, round0), _xor(high0, c3, round1)
        c1, c3 = low1, low0
    shape = tf.broadcast_dynamic_shape(tf.shape(c0), tf.shape(c2))
    return [tf.broadcast_to(word, shape) for word in (c0, c1, c2, c3)]


def _product(factor, x):
    """Returns the high and the low word of a 128-bit product."""
    factor_low, factor_high = _uint64(factor & LOW_HALF), _uint64(factor >> 32)
    mask, half = _uint64(LOW_HALF), _uint64(32)
    low, high = tf.bitwise.bitwise_and(x, mask), tf.bitwise.right_shift(x, half)
    middle = factor_high * low + tf.bitwise.right_shift(factor_low * low, half)
    other = factor_low * high + tf.bitwise.bitwise_and(middle, mask)
    carry = tf.bitwise.right_shift(middle, half) + tf.bitwise.right_shift(other, half)
    return factor_high * high + carry, _uint64(factor) * x


def _box_muller(raw):
    """Returns two normal numbers for each word, as `diffusion.noise` does."""
    scale = 2.0**-32
    high = tf.bitwise.right_shift(raw, _uint64(32))
    low = tf.bitwise.bitwise_and(raw, _uint64(LOW_HALF))
    radius = tf.sqrt(-2.0 * tf.math.log((tf.cast(high, tf.float32) + 0.5) * scale))
    angle = tf.cast(low, tf.float32) * scale * np.float32(2 * np.pi)
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)


def _xor(a, b, c):
    return tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(a, b), c)


def _uint64(value):
    return tf.constant(np.uint64(value % WORD))


def _to_uint64(x):
    return tf.bitcast(tf.cast(x, tf.int64), tf.uint64)
