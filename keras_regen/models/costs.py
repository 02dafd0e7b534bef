"""The number of parameters of an architecture."""

import concurrent.futures
import math

import keras

from keras_regen.layers import CausalConv3D, CausalUpsample3D, axis_windows, logits_held
from keras_regen.models.architectures import architecture, conv_decoder_architecture
from keras_regen.models.conv_decoder import ConvDecoder
from keras_regen.models.dit_decoder import DiTDecoder
from keras_regen.models.video_encoder import VideoEncoder
from keras_regen.pixels import SPATIAL_COMPRESSION


def count_parameters(name, temporal_compression=8, decoder="dit"):
    """Counts an architecture's parameters without allocating them.

    Args:
        name: `"tiny"`, `"small"`, `"base"` or `"paper"`.
        temporal_compression: int. k, a power of two from 2 to 64. Defaults to `8`.
        decoder: `"dit"`, or `"conv"` for the conventional one. Defaults to `"dit"`.

    Returns:
        Tuple of int: those of the encoder, and those of the decoder.

    Raises:
        ValueError: if an argument is not as above.

    Example:

    >>> count_parameters("tiny", temporal_compression=8)
    (2678856, 5180864)
    """
    if decoder not in ("dit", "conv"):
        raise ValueError(
            f'`decoder` must be "dit" or "conv". Received: decoder={decoder!r}'
        )
    config = dict(architecture(name))
    if decoder == "conv":
        config["decoder"] = conv_decoder_architecture(name, temporal_compression)
    build = DiTDecoder if decoder == "dit" else ConvDecoder
    # Keras initialises what one stateless scope has left out at the end of the next,
    # but remembers it by thread: what a thread of its own leaves out is forgotten with
    # it.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(_count, config, build, temporal_compression).result()


def _count(config, build, temporal_compression):
    with keras.StatelessScope(initialize_variables=False):
        encoder = VideoEncoder(temporal_compression, **config["encoder"])
        decoder = build(temporal_compression, **config["decoder"])
    return encoder.count_params(), decoder.count_params()


FLOAT32 = 4
# Over the sum of the tensors below: what `tiny` and `small` were seen to take at their
# peak, on a CPU, on the backend that takes most.
MARGIN = 1.5
# Of a tile's pixels: six around the model, the noise of the next batch, and what the
# last one came to.
COPIES = 8
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


def encoder_bytes(encoder, rows, columns):
    """Memory to encode one chunk of so many latents."""
    frames, scale, largest = (
        encoder.temporal_compression + 1,
        encoder.stem_patch_size,
        0,
    )
    for conv in encoder.convs:
        largest = max(largest, frames * _conv_values(conv) / scale**2)
        frames = -(-frames // conv.strides[0])
        scale *= conv.strides[1]
    pixels = rows * columns * SPATIAL_COMPRESSION**2
    # The chunk, the same as float32, and the frames read ahead.
    video = 3 * (encoder.temporal_compression + 1)
    return int(MARGIN * FLOAT32 * pixels * (largest + 3 * video))


def decoder_bytes(decoder, frames, rows, columns):
    """Memory to decode one chunk of so many frames of latents."""
    if isinstance(decoder, ConvDecoder):
        return int(MARGIN * FLOAT32 * rows * columns * _most_values(decoder))
    tokens = frames * rows * columns
    # The MLP's hidden layer and its activation beside the residual stream.
    values = tokens * decoder.units * (2 * decoder.mlp_ratio + 8)
    values += 2 * logits_held(decoder.compute_dtype, 1, decoder.num_heads, tokens)
    pixels = COPIES * tokens * SPATIAL_COMPRESSION**2 * 3
    return int(MARGIN * FLOAT32 * (values + pixels))


def _conv_values(conv):
    """Values of one position: the input, its gathered taps, and twice the output."""
    taps, *_, channels, filters = conv.kernel.shape
    return channels * (1 + taps * (taps > 1)) + 2 * filters


def _most_values(decoder):
    """Values that one convolution holds, for a column of latents, and the frames."""
    frames, side, most = 2, SPATIAL_COMPRESSION, 0
    for layer in decoder.layers:
        upsamples = isinstance(layer, CausalUpsample3D)
        for conv in [layer.conv] if upsamples else getattr(layer, "convs", [layer]):
            if isinstance(conv, CausalConv3D):
                positions = frames * (SPATIAL_COMPRESSION / side) ** 2
                most = max(most, positions * _conv_values(conv))
        if upsamples:
            time, space = layer.strides
            frames, side = (frames - 1) * time + 1, side // space
    return most + COPIES * frames * SPATIAL_COMPRESSION**2 * 3
