"""The highest rates that this machine reaches, as limits for models."""

from typing import Any

import numpy as np
from keras import ops

from keras_regen.benchmark.timer import Timer
from keras_regen.layers import matrix_product

# Long enough that starting a call costs nothing in comparison.
MIN_SECONDS = 0.03
MATMUL_SIDES = (1024, 2048, 4096, 8192)
CONV_SIDES = (32, 64, 128, 256)
# Calls queued on a GPU before waiting, since waiting for each would take time.
GPU_CALLS = 16
CONV_FRAMES, CONV_CHANNELS, CONV_KERNEL = 9, 128, 3


def measure_ceiling(dtype: str, timer: Timer, on_gpu: bool = False) -> dict[str, Any]:
    """Measures the rates of matrix products and of a 3D convolution.

    Args:
        dtype: `"float32"`, `"bfloat16"` or `"float16"`.
        timer: `Timer`.
        on_gpu: bool. Whether the backend computes on a GPU. NumPy is then not
            measured. Defaults to `False`.

    Returns:
        Dict of operations per second: `matmul` and `conv3d` of the backend, the product
        as the layers compute it; in float32 on a CPU also `numpy`, NumPy's matrix
        product; and `ceiling`, their maximum.
    """
    calls = GPU_CALLS if on_gpu else 1
    rates = {
        "matmul": _best_rate(_matmul, MATMUL_SIDES, dtype, timer, calls),
        "conv3d": _best_rate(_conv3d, CONV_SIDES, dtype, timer, calls),
    }
    if not on_gpu and dtype == "float32":
        rates["numpy"] = _best_rate(_numpy_matmul, MATMUL_SIDES, dtype, timer)
    return {**rates, "ceiling": max(rates.values())}


def _best_rate(make, sides, dtype, timer, calls=1):
    """Returns the rate at the first size that takes long enough, or at the last."""
    for side in sides:
        function, operations = make(side, dtype)

        def queue(function=function):
            for _ in range(calls):
                result = function()
            _wait(result)

        timing = timer.time(queue)
        if timing.seconds >= MIN_SECONDS:
            break
    return calls * operations / timing.seconds


def _matmul(side, dtype):
    a, b = (_tensor((side, side), dtype, seed) for seed in (0, 1))
    return lambda: matrix_product(a, b), 2 * side**3


def _numpy_matmul(side, dtype):
    a, b = (_array((side, side), seed).astype(dtype) for seed in (0, 1))
    return lambda: a @ b, 2 * side**3


def _conv3d(side, dtype):
    video = _tensor((1, CONV_FRAMES, side, side, CONV_CHANNELS), dtype, 0)
    kernel = _tensor((CONV_KERNEL,) * 3 + (CONV_CHANNELS,) * 2, dtype, 1)
    operations = 2 * CONV_FRAMES * side**2 * CONV_KERNEL**3 * CONV_CHANNELS**2
    return (
        lambda: ops.conv(video, kernel, padding="same", data_format="channels_last"),
        operations,
    )


def _array(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape, "float32")


def _tensor(shape, dtype, seed):
    return ops.cast(ops.convert_to_tensor(_array(shape, seed)), dtype)


def _wait(tensor):
    """Waits until a tensor is computed, by fetching one value of it."""
    if not isinstance(tensor, np.ndarray):
        ops.convert_to_numpy(ops.ravel(tensor[:1, :1])[:1])
