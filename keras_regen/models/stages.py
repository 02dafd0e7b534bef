"""The stages of the convolutional encoder and decoder.

Stage 0 has full resolution; each later stage halves time, space or both.
"""

import math
from collections.abc import Sequence

import keras

from keras_regen.layers import CausalConv3D, CausalUpsample3D, ResidualBlock3D
from keras_regen.pixels import SPATIAL_COMPRESSION


def halvings(temporal_compression: int, stem_patch_size: int) -> tuple[int, int]:
    """Counts the halvings of space and of time between the stem and the latents.

    Returns:
        Tuple of int, `(space, time)`.

    Raises:
        ValueError: if `temporal_compression` is not a power of two from 2 to 64, or
            `stem_patch_size` is not one from 1 to 8.
    """
    if temporal_compression not in (2, 4, 8, 16, 32, 64):
        raise ValueError(
            "`temporal_compression` must be a power of two from 2 to 64. "
            f"Received: temporal_compression={temporal_compression}"
        )
    if stem_patch_size not in (1, 2, 4, 8):
        raise ValueError(
            "`stem_patch_size` must be 1, 2, 4 or 8. "
            f"Received: stem_patch_size={stem_patch_size}"
        )
    space = int(math.log2(SPATIAL_COMPRESSION // stem_patch_size))
    return space, int(math.log2(temporal_compression))


def of_stage(values: Sequence[int], stage: int) -> int:
    """Returns the value of a stage: the last value repeats."""
    return values[min(stage, len(values) - 1)]


def residual_blocks(
    stage: int,
    widths: Sequence[int],
    num_blocks: Sequence[int],
    kernel_sizes: Sequence[Sequence[int]],
    remat: bool,
    dtype: keras.DTypePolicy,
) -> list[ResidualBlock3D]:
    """Builds the residual blocks of a stage."""
    return [
        ResidualBlock3D(
            of_stage(widths, stage),
            kernel_sizes,
            remat,
            dtype=dtype,
            name=f"stage_{stage}_block_{block}",
        )
        for block in range(of_stage(num_blocks, stage))
    ]


def output_activation(dtype: keras.DTypePolicy) -> list[keras.layers.Layer]:
    """Builds the norm and the SiLU before the last convolution."""
    return [
        keras.layers.RMSNormalization(epsilon=1e-6, dtype=dtype, name="output_norm"),
        keras.layers.Activation("silu", dtype=dtype, name="output_activation"),
    ]


def convolutions(layer: keras.layers.Layer) -> list[CausalConv3D]:
    """Returns the `CausalConv3D` layers that a layer of the stack is made of."""
    if isinstance(layer, ResidualBlock3D):
        return [layer.shortcut, *layer.convs] if layer.shortcut else layer.convs
    if isinstance(layer, CausalUpsample3D):
        return [layer.conv]
    return [layer] if isinstance(layer, CausalConv3D) else []
