"""How much memory encoding and decoding take, and what fits into a budget."""

import re

import numpy as np

from keras_regen.layers import CausalConv3D, CausalUpsample3D
from keras_regen.layers.attention import logits_held
from keras_regen.models.conv_decoder import ConvDecoder
from keras_regen.models.video_encoder import SPATIAL_COMPRESSION

# Beside the frames of one chunk, where no budget is given.
DEFAULT_MEMORY = 2 * 10**9
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
FLOAT32 = 4
# Over the sum of the tensors below: what `tiny` and `small` were seen to take at their
# peak, on a CPU, on the backend that takes most.
MARGIN = 1.5
# Of a tile's pixels: six around the model, the noise of the next batch, and what the
# last one came to.
COPIES = 8
# Of frames that wait to be written, but for the fewest and the most of them.
WAITING_BYTES = 10**8
WAITING_FRAMES = 4, 64


def parse_memory(memory):
    """Bytes, of an int or of a str such as `"2GB"` or `"512 MB"`.

    Raises:
        ValueError: if it is neither, or not positive.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", str(memory), re.I)
    size = float(match[1]) * UNITS[match[2].upper()] if match else 0
    if size < 1:
        raise ValueError(
            '`max_memory` must be a number of bytes, such as 2e9 or "2GB". '
            f"Received: max_memory={memory!r}"
        )
    return int(size)


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


def frame_bytes(frames, height, width, dtype="uint8"):
    """Memory of so many decoded frames, of those that fade, and of the output.

    Frames are decoded in float32. As many are held twice in the dtype of the output:
    those being mixed, and those that wait to be shown.
    """
    values = int(np.prod([frames, height, width, 3]))
    return int(1.5 * FLOAT32 * values) + 2 * np.dtype(dtype).itemsize * values


def waiting_frames(height, width):
    """How many frames may wait to be written: those of some chunks, or of a part."""
    return int(np.clip(WAITING_BYTES // (3 * height * width), *WAITING_FRAMES))
