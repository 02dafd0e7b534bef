"""The costs of models: parameters, operations and bytes of memory."""

import concurrent.futures
import math
from collections.abc import Sequence

import keras

from keras_regen.layers import axis_windows, logits_held
from keras_regen.models.conv_decoder import ConvDecoder
from keras_regen.models.dit_decoder import DiTDecoder
from keras_regen.models.factory import build_model
from keras_regen.models.stages import convolutions
from keras_regen.models.video_autoencoder import VideoAutoencoder
from keras_regen.models.video_encoder import VideoEncoder
from keras_regen.pixels import SPATIAL_COMPRESSION

# Forwards that a training step costs: the backward pass takes two products for each
# product of the forward pass.
TRAINING = 3
FLOAT32 = 4
# Peak memory of `tiny` and `small`, measured on a CPU with the backend that takes most,
# over the sum of the tensors counted here.
MARGIN = 1.5
# Copies of a tile's pixels while it is decoded: seven around the model, its noise among
# them, and the output of the batch before.
TILE_COPIES = 8
# Copies of a chunk while it is encoded: the chunk, the same as float32, and the frames
# read ahead.
CHUNK_COPIES = 3


# === Parameters ===


def count_parameters(
    name: str, temporal_compression: int = 8, decoder: str = "dit"
) -> tuple[int, int]:
    """Counts an architecture's parameters without allocating them.

    Args:
        name: as for `build_model`.
        temporal_compression: as for `build_model`.
        decoder: as for `build_model`.

    Returns:
        Tuple of int: the parameters of the encoder and of the decoder.

    Raises:
        ValueError: if an argument is not as above.

    Example:

    >>> count_parameters("tiny", temporal_compression=8)
    (2678856, 5180864)
    """

    def count():
        with keras.StatelessScope(initialize_variables=False):
            model = build_model(name, temporal_compression, decoder)
        return model.encoder.count_params(), model.decoder.count_params()

    # Keras lists by thread the variables that a stateless scope did not initialise, and
    # initialises them at the end of the next one: this list ends with its thread.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(count).result()


# === Operations ===


def encoder_operations(encoder: VideoEncoder, shape: Sequence[int]) -> int:
    """Counts the operations to encode, two for each multiply-add.

    Args:
        encoder: a `VideoEncoder`.
        shape: `(B, F, H, W)`.

    Returns:
        int.
    """
    batch, *sizes = shape
    return 2 * batch * _stack_products(encoder, (1, *sizes, 3))


def decoder_operations(decoder: DiTDecoder | ConvDecoder, shape: Sequence[int]) -> int:
    """Counts the operations of one forward of the decoder, two for each multiply-add.

    Args:
        decoder: a `DiTDecoder` or a `ConvDecoder`.
        shape: `(B, F, H, W)`, of the video.

    Returns:
        int.
    """
    batch, frames, height, width = shape
    rows, columns = height // SPATIAL_COMPRESSION, width // SPATIAL_COMPRESSION
    if decoder.is_convolutional:
        latents = (1, 2, rows, columns, decoder.latent_channels)
        return 2 * batch * _stack_products(decoder, latents)
    return 2 * batch * _transformer_products(decoder, (frames, rows, columns))


def training_operations(model: VideoAutoencoder, shape: Sequence[int]) -> int:
    """Counts the operations of a training step: three forwards of encoder and decoder.

    What `remat` computes again is not counted.

    Args:
        model: a `Regen` or a `ConvAutoencoder`.
        shape: `(B, F, H, W)`.

    Returns:
        int.
    """
    forward = encoder_operations(model.encoder, shape)
    return TRAINING * (forward + decoder_operations(model.decoder, shape))


def keys_per_query(
    tokens: Sequence[int],
    window: Sequence[int | None] | None = None,
    shifted: bool = False,
) -> float:
    """Computes the mean number of keys that a query attends to.

    Args:
        tokens: `(frames, rows, columns)`, in tokens.
        window: as for `DiTBlock`.
        shifted: as for `DiTBlock`.

    Returns:
        float or int.
    """
    axes = zip(tokens, window or (None, None, None), strict=True)
    return math.prod(
        sum(count * part**2 for _, count, part in axis_windows(size, length, shifted))
        / size
        for size, length in axes
    )


def _stack_products(model, shape):
    """Returns the multiply-adds of a stack of convolutions for inputs of a shape."""
    return sum(
        math.prod(conv.kernel.shape) * written
        for conv, _, written in _walk(model, shape)
    )


def _transformer_products(decoder, grid):
    """Returns the multiply-adds of a `DiTDecoder` for a `(frames, rows, columns)`."""
    frames, *sizes = grid
    in_context = decoder.conditioning == "in_context"
    tokens = (frames + 2 * in_context, *sizes)
    products = sum(
        math.prod(weight.shape) * _uses(weight.path, grid, tokens)
        for weight in decoder.weights
        if weight.name == "kernel"
    )
    keys = sum(
        keys_per_query(tokens, decoder.window, shifted=block % 2 == 1)
        for block in range(decoder.depth)
    )
    # Logits, and the weighted sum of the values.
    return products + round(2 * math.prod(tokens) * keys * decoder.units)


def _uses(path, grid, tokens):
    """Returns how many vectors of one sample the kernel at a path multiplies."""
    frames, rows, columns = grid
    *parts, layer, _ = path.split("/")
    if "timestep_embedding" in parts or layer == "modulation":
        return 1
    if layer == "linear_0":
        return frames
    if layer.startswith("modulator_") or "in_context_tokens" in parts:
        return rows * columns
    # Only the blocks see the latents as tokens.
    in_block = any(part.startswith("block_") for part in parts)
    return math.prod(tokens if in_block else grid)


# === Memory ===


def encoder_bytes(encoder: VideoEncoder, rows: int, columns: int) -> int:
    """Estimates the memory to encode one chunk.

    Args:
        encoder: a `VideoEncoder`.
        rows: int, in latents.
        columns: int, in latents.

    Returns:
        int.
    """
    height, width = rows * SPATIAL_COMPRESSION, columns * SPATIAL_COMPRESSION
    chunk = (1, encoder.temporal_compression + 1, height, width, 3)
    values = _max_values(encoder, chunk) + CHUNK_COPIES * math.prod(chunk)
    return int(MARGIN * FLOAT32 * values)


def decoder_bytes(
    decoder: DiTDecoder | ConvDecoder, frames: int, rows: int, columns: int
) -> int:
    """Estimates the memory to decode one chunk.

    Args:
        decoder: a `DiTDecoder` or a `ConvDecoder`.
        frames: int. A `ConvDecoder` always decodes k + 1.
        rows: int, in latents.
        columns: int, in latents.

    Returns:
        int.
    """
    if decoder.is_convolutional:
        frames = decoder.temporal_compression + 1
        latents = (1, 2, rows, columns, decoder.latent_channels)
        values = _max_values(decoder, latents)
    else:
        tokens = frames * rows * columns
        # The MLP's hidden layer before and after its activation, and eight tensors of
        # the residual stream's width.
        values = tokens * decoder.units * (2 * decoder.mlp_ratio + 8)
        values += 2 * logits_held(
            decoder.compute_dtype,
            1,
            decoder.num_heads,
            decoder.units // decoder.num_heads,
            tokens,
        )
    pixels = frames * rows * columns * SPATIAL_COMPRESSION**2 * 3
    return int(MARGIN * FLOAT32 * (values + TILE_COPIES * pixels))


def _max_values(model, shape):
    """Returns the values that the largest convolution of a stack holds."""
    values = (read * _values_held(conv) for conv, read, _ in _walk(model, shape))
    return max(values, default=0)


def _values_held(conv):
    """Counts the values of one position: the input, its taps, and twice the output."""
    taps, *_, channels, filters = conv.kernel.shape
    return channels * (1 + taps * (taps > 1)) + 2 * filters


# === Stacks of convolutions ===


def _walk(model, shape):
    """Walks over a stack of convolutions.

    Args:
        model: a `VideoEncoder` or a `ConvDecoder`.
        shape: shape of its input, `(B, F, H, W, C)`.

    Yields:
        Tuple of each convolution, the positions of one sample that it reads, and those
        that it writes.
    """
    # The first layer is the input.
    for layer in model.layers[1:]:
        for conv in convolutions(layer):
            yield conv, _positions(shape), _positions(conv.compute_output_shape(shape))
        shape = layer.compute_output_shape(shape)


def _positions(shape):
    return math.prod(shape[1:4])
