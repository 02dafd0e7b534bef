"""Compares speeds: each case runs A and B in turns and reports the ratio of B to A.

    KERAS_BACKEND=jax python tools/benchmark.py --repeats 20

Seconds depend on the machine and what else it does; the ratios, of medians of runs that
take turns, far less. The spread is the middle half of the ratios of neighbouring runs.
"""

import argparse
import os
import time

import keras
import numpy as np
from keras import layers, ops

from keras_regen.layers import CausalConv3D, DepthwiseMixing
from keras_regen.models import Regen

WARM_UP = 3
VIDEO_SIZE = 128


def take_turns(a, b, repeats):
    """Times two functions in turns, A B A B.

    Returns:
        float64 array of shape `(repeats, 2)`, in seconds.
    """
    seconds = np.empty((WARM_UP + repeats, 2))
    for run in range(len(seconds)):
        for column, function in enumerate((a, b)):
            start = time.perf_counter()
            function()
            seconds[run, column] = time.perf_counter() - start
    return seconds[WARM_UP:]


def layer_pair(shape, ours, theirs):
    """Two functions that run the layers, alike in weights, on the same input."""
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    models = []
    for function in (ours, theirs):
        inputs = keras.Input(shape[1:], batch_size=shape[0])
        models.append(keras.Model(inputs, function(inputs)))
    keras.utils.set_random_seed(0)
    weights = [np.random.uniform(-0.05, 0.05, w.shape) for w in models[0].weights]
    for model in models:
        # Depthwise kernels differ in an axis of one.
        model.set_weights(
            [v.reshape(w.shape) for v, w in zip(weights, model.weights, strict=True)]
        )
    a, b = (lambda model=model: model.predict_on_batch(x) for model in models)
    np.testing.assert_allclose(a(), b(), atol=1e-3)
    return a, b


def conv3d_case():
    def keras_conv(x):
        x = layers.ZeroPadding3D(((2, 0), (1, 1), (1, 1)))(x)
        return layers.Conv3D(192, 3)(x)

    return layer_pair((1, 9, 32, 32, 96), CausalConv3D(192, (3, 3, 3)), keras_conv)


def mixing_case():
    def keras_mixing(x):
        frames = ops.reshape(x, (-1, *x.shape[2:]))
        mixed = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(frames)
        return x + ops.reshape(mixed, x.shape)

    return layer_pair((1, 9, 16, 16, 256), DepthwiseMixing(), keras_mixing)


def cases(preset):
    """Yields name, A's name, B's name and the two functions of each case."""
    yield ("causal 3D convolution", "CausalConv3D", "Conv3D", *conv3d_case())
    yield ("depthwise mixing", "DepthwiseMixing", "DepthwiseConv2D", *mixing_case())

    regen = Regen.from_preset(preset, dtype="float32")
    half = Regen.from_preset(preset, dtype="mixed_bfloat16")
    shape = (1, regen.temporal_compression + 1, VIDEO_SIZE, VIDEO_SIZE, 3)
    video = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    latents = regen.encode(video)
    dtypes = ("float32", "mixed_bfloat16")
    yield (
        "encode a chunk",
        *dtypes,
        lambda: regen.encode(video),
        lambda: half.encode(video),
    )
    yield (
        "decode a chunk",
        *dtypes,
        lambda: regen.decode(latents),
        lambda: half.decode(latents),
    )
    yield (
        "decode a chunk, float32",
        "1 step",
        "4 steps",
        lambda: regen.decode(latents, num_steps=1),
        lambda: regen.decode(latents, num_steps=4),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="timed runs of each")
    parser.add_argument("--preset", default="regen_tiny_8x8x8")
    args = parser.parse_args()

    print(
        f"Keras {keras.__version__}, {keras.backend.backend()}, "
        f"{ops.convert_to_tensor(0.0).device}, {os.cpu_count()} CPUs; "
        f"{args.repeats} runs of each, in turns\n"
    )
    print("| case | A | B | A, ms | B, ms | B / A | spread |")
    print("|---|---|---|--:|--:|--:|--:|")
    for name, a_name, b_name, a, b in cases(args.preset):
        seconds = take_turns(a, b, args.repeats)
        a_time, b_time = np.median(seconds, axis=0)
        low, high = np.quantile(seconds[:, 1] / seconds[:, 0], (0.25, 0.75))
        print(
            f"| {name} | {a_name} | {b_name} | {1e3 * a_time:.1f} | {1e3 * b_time:.1f} "
            f"| {b_time / a_time:.2f} | {low:.2f} to {high:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
