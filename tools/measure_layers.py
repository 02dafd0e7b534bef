"""Measures this package's layers against Keras's own, on every backend.

    python -m tools.measure_layers

Both layers have the same weights and the same input, and are timed in turns. Each
backend runs in a process of its own. Prints a table of `docs/performance.md`; `--output
DIR` keeps the numbers as JSON.
"""

import argparse
import dataclasses

import numpy as np

from tools.common import add_timing_options, in_process, print_table, save_json

# Side of 17 frames, channels, filters, kernel and strides.
CONVOLUTIONS = (
    (32, 12, 128, (3, 3, 3), (1, 1, 1)),
    (32, 128, 128, (3, 3, 3), (1, 1, 1)),
    (32, 128, 128, (1, 3, 3), (1, 1, 1)),
    (32, 128, 128, (3, 1, 1), (1, 1, 1)),
    (32, 128, 256, (3, 3, 3), (2, 2, 2)),
)


def layer_pair(shape, ours, theirs, tolerance=1e-3):
    """Returns two functions that run the two layers on the same input.

    Raises:
        AssertionError: if the outputs differ by more than the tolerance.
    """
    import keras

    x = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    models = []
    for function in (ours, theirs):
        inputs = keras.Input(shape[1:], batch_size=shape[0])
        models.append(keras.Model(inputs, function(inputs)))
    rng = np.random.default_rng(0)
    weights = [rng.uniform(-0.05, 0.05, w.shape) for w in models[0].weights]
    for model in models:
        # Depthwise kernels differ in an axis of one.
        model.set_weights(
            [v.reshape(w.shape) for v, w in zip(weights, model.weights, strict=True)]
        )
    a, b = (lambda model=model: model.predict_on_batch(x) for model in models)
    np.testing.assert_allclose(a(), b(), atol=tolerance)
    return a, b


def convolution_pair(shape, filters, kernel_size, strides):
    from keras import layers

    from keras_regen.layers import CausalConv3D

    padding = [(kernel_size[0] - 1, 0)]
    for size, kernel, stride in zip(
        shape[2:4], kernel_size[1:], strides[1:], strict=True
    ):
        total = kernel - 1 - (size - 1) % stride
        padding.append((total // 2, total - total // 2))
    pad = layers.ZeroPadding3D(padding)
    convolution = layers.Conv3D(filters, kernel_size, strides)
    return layer_pair(
        shape,
        CausalConv3D(filters, kernel_size, strides),
        lambda x: convolution(pad(x)),
    )


def mixing_pair(shape):
    from keras import layers, ops

    from keras_regen.layers import DepthwiseMixing

    def keras_mixing(x):
        frames = ops.reshape(x, (-1, *x.shape[2:]))
        mixed = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(frames)
        return x + ops.reshape(mixed, x.shape)

    return layer_pair(shape, DepthwiseMixing(), keras_mixing)


def attention_pair(shape, dtype="float32"):
    from keras import layers, ops

    from keras_regen.layers import dot_product_attention

    ours, theirs = (
        layers.Lambda(
            lambda x, function=function: function(*ops.split(x, 3, axis=2)),
            output_shape=(shape[1], shape[2] // 3, shape[3]),
            dtype=dtype,
        )
        for function in (dot_product_attention, ops.dot_product_attention)
    )
    return layer_pair(shape, ours, theirs, 1e-3 if dtype == "float32" else 1e-2)


def layer_pairs():
    """Yields our layer's name, Keras's, and the functions that run them."""
    for side, channels, filters, kernel, strides in CONVOLUTIONS:
        name = f"CausalConv3D, {kernel}, {channels} to {filters}"
        if strides != (1, 1, 1):
            name += f", {strides}"
        shape = (1, 17, side, side, channels)
        yield name, "Conv3D", convolution_pair(shape, filters, kernel, strides)
    mixing = mixing_pair((1, 17, 16, 16, 768))
    yield "DepthwiseMixing, 768", "DepthwiseConv2D", mixing
    # Queries, keys and values of six heads, and of three in windows of 9x8x8.
    heads = attention_pair((1, 17 * 16 * 16, 18, 128))
    yield "attention, 4352 tokens", "dot_product_attention", heads
    name = "attention, 18 times 576 tokens, bfloat16"
    windows = attention_pair((18, 9 * 8 * 8, 9, 128), "bfloat16")
    yield name, "dot_product_attention", windows


def time_layers(repeats, any_load):
    """Returns a row for each pair of layers, on the backend of this process."""
    import keras

    from keras_regen.benchmark import Timer, load_limit

    timer, rows = Timer(repeats, load_limit(), any_load), []
    for a_name, b_name, pair in layer_pairs():
        a, b = timer.take_turns(*pair)
        ratios = np.divide(b.samples, a.samples)
        rows.append(
            {
                "backend": keras.backend.backend(),
                "a": {"name": a_name, **dataclasses.asdict(a)},
                "b": {"name": b_name, **dataclasses.asdict(b)},
                "ratio": b.seconds / a.seconds,
                "spread": np.quantile(ratios, (0.25, 0.75)).tolist(),
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_timing_options(parser, repeats=20)
    args = parser.parse_args()
    rows = []
    for backend in args.backend:
        rows += in_process(
            time_layers, args.repeats, args.any_load, KERAS_BACKEND=backend
        )
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        save_json(args.output / "layers.json", rows)
    cells = []
    for row in rows:
        milliseconds = [1e3 * np.median(row[side]["samples"]) for side in "ab"]
        cells.append(
            [
                *(row["backend"], row["a"]["name"], row["b"]["name"]),
                *(f"{value:.3g}" for value in milliseconds),
                f"{row['ratio']:.2f}",
                "{:.2f} to {:.2f}".format(*row["spread"]),
            ]
        )
    print("The spread is the middle half of the ratios of neighbouring samples.")
    print_table(["backend", "A", "B", "A, ms", "B, ms", "B / A", "spread"], cells)


if __name__ == "__main__":
    main()
