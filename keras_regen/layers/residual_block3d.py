"""Causal residual block."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.causal_conv3d import CausalConv3D
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class ResidualBlock3D(ConfiguredLayer):
    """Two causal convolutions, each after a channel-wise norm and SiLU, plus the input.

    With a norm over time or space a frame would depend on later frames, and a tile on
    the tiles around it.

    Args:
        filters: int. Number of output channels. If the input has another number, the
            shortcut is a 1x1x1 convolution.
        kernel_sizes: two tuples of 3 ints, `(time, height, width)` of each convolution.
            `((1, 3, 3), (3, 1, 1))` is the factorised, lighter block. Defaults to
            `((3, 3, 3), (3, 3, 3))`.
        remat: bool. See `DiTBlock`. Defaults to `False`.

    Input shape:
        `(B, T, H, W, C)`.

    Output shape:
        `(B, T, H, W, filters)`.

    Example:

    >>> tuple(ResidualBlock3D(16)(keras.ops.ones((1, 3, 8, 8, 8))).shape)
    (1, 3, 8, 8, 16)

    Reference:
        Yu et al. 2023, *Language Model Beats Diffusion* (MAGVIT-v2), appendix A.
    """

    def __init__(
        self,
        filters: int,
        kernel_sizes: Sequence[Sequence[int]] = ((3, 3, 3), (3, 3, 3)),
        remat: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.remat = remat
        self.kernel_sizes = tuple(tuple(size) for size in kernel_sizes)
        self.norms, self.convs = [], []
        for i, size in enumerate(self.kernel_sizes, start=1):
            self.norms.append(
                keras.layers.RMSNormalization(
                    epsilon=1e-6, dtype=self.dtype_policy, name=f"norm_{i}"
                )
            )
            self.convs.append(
                CausalConv3D(filters, size, dtype=self.dtype_policy, name=f"conv_{i}")
            )
        self.shortcut: CausalConv3D | None = None

    def build(self, input_shape: Shape) -> None:
        # Created only if it is needed: with a layer that is never built, Keras takes
        # the model for unbuilt, and reads a batch before every `fit` to build it.
        if input_shape[-1] != self.filters:
            self.shortcut = CausalConv3D(
                self.filters, (1, 1, 1), dtype=self.dtype_policy, name="shortcut"
            )
            self.shortcut.build(input_shape)
        shape = input_shape
        for norm, conv in zip(self.norms, self.convs, strict=True):
            norm.build(shape)
            conv.build(shape)
            shape = conv.compute_output_shape(shape)

    def call(self, inputs: Tensor) -> Tensor:
        if self.remat:
            # A new function for each call, as in `DiTBlock`.
            return keras.remat(lambda x: self._transform(x))(inputs)
        return self._transform(inputs)

    def _transform(self, inputs):
        x = inputs
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = conv(keras.ops.silu(norm(x)))
        return x + (self.shortcut(inputs) if self.shortcut else inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.filters)
