"""How many operations a model takes: two for each multiply-add.

Counted are convolutions, dense layers and attention, whose number depends on sizes
alone. What a backend makes of them, padding or computing twice, does not count.
"""

import math

from keras_regen.layers import CausalConv3D, CausalUpsample3D
from keras_regen.layers.windows import axis_windows
from keras_regen.models.video_encoder import SPATIAL_COMPRESSION

# The way back takes two products for each one of the way there.
TRAINING = 3


def encoder_operations(encoder, shape):
    """Operations to encode.

    Args:
        encoder: a `VideoEncoder`.
        shape: `(B, F, H, W)`.

    Returns:
        int.
    """
    batch, frames, height, width = shape
    sizes = [frames, height, width]
    sizes[1:] = (size // encoder.stem_patch_size for size in sizes[1:])
    return 2 * batch * sum(_stack(encoder.layers, sizes))


def decoder_operations(decoder, shape):
    """Operations of one forward of the decoder.

    Args:
        decoder: a `DiTDecoder` or a `ConvDecoder`.
        shape: `(B, F, H, W)`, of the video.

    Returns:
        int.
    """
    batch, frames, height, width = shape
    grid = (frames, height // SPATIAL_COMPRESSION, width // SPATIAL_COMPRESSION)
    if not hasattr(decoder, "depth"):
        return 2 * batch * sum(_stack(decoder.layers, [2, *grid[1:]]))
    in_context = getattr(decoder, "conditioning", None) == "in_context"
    tokens = (frames + 2 * in_context, *grid[1:])
    products = sum(
        math.prod(weight.shape) * _positions(weight.path, grid, tokens)
        for weight in decoder.weights
        if weight.name == "kernel"
    )
    keys = sum(
        keys_per_query(tokens, getattr(decoder, "window", None), shifted=block % 2 == 1)
        for block in range(decoder.depth)
    )
    # Logits, and the sum of the values.
    attention = 2 * math.prod(tokens) * keys * decoder.units
    return 2 * batch * (products + round(attention))


def training_operations(model, shape):
    """Operations of a training step: three forwards of encoder and decoder.

    What `remat` computes again is not counted.
    """
    forward = encoder_operations(model.encoder, shape)
    return TRAINING * (forward + decoder_operations(model.decoder, shape))


def keys_per_query(tokens, window=None, shifted=False):
    """Keys that a query sees, on average.

    Args:
        tokens: `(frames, rows, columns)` of them.
        window: None for all of them, or `(frames, rows, columns)` of a window, None
            where it is a whole axis.
        shifted: bool. Whether windows are. Defaults to `False`.
    """
    axes = zip(tokens, window or (None, None, None), strict=True)
    return math.prod(
        sum(count * part**2 for _, count, part in axis_windows(size, length, shifted))
        / size
        for size, length in axes
    )


def _positions(path, grid, tokens):
    """How often a sample goes through the layer of a kernel."""
    frames, rows, columns = grid
    *parts, layer, _ = path.split("/")
    if "timestep_embedding" in parts or layer == "modulation":
        return 1
    if layer == "linear_0":
        return frames
    if layer.startswith("modulator_") or "in_context_tokens" in parts:
        return rows * columns
    # The blocks see tokens that neither go in nor come out.
    in_block = any(part.startswith("block_") for part in parts)
    return math.prod(tokens if in_block else grid)


def _stack(layers, sizes):
    """Multiply-adds of each convolution of a sample, from the sizes of the input."""
    for layer in layers:
        if isinstance(layer, CausalUpsample3D):
            yield _conv(layer.conv, sizes)
            time, space = layer.strides
            frames, height, width = sizes
            sizes = [(frames - 1) * time + 1, height * space, width * space]
            continue
        if getattr(layer, "shortcut", None):
            yield _conv(layer.shortcut, sizes)
        for conv in getattr(layer, "convs", [layer]):
            if isinstance(conv, CausalConv3D):
                sizes = [-(-n // s) for n, s in zip(sizes, conv.strides, strict=True)]
                yield _conv(conv, sizes)


def _conv(conv, sizes):
    return math.prod(conv.kernel.shape) * math.prod(sizes)
