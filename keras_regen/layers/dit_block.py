"""Diffusion transformer block."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.attention import dot_product_attention, windows_at_once
from keras_regen.layers.depthwise_mixing import DepthwiseMixing
from keras_regen.layers.kernels import (
    dense,
    layer_norm,
    multiply_add,
    normalize_queries_and_keys,
    plain_norm,
)
from keras_regen.layers.windows import WindowGrid, windowed_attention
from keras_regen.types import Shape, Tensor


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Computes `x * (1 + scale) + shift`, per sample. May overwrite `x`."""
    scale, shift = scale[:, None, None, None], shift[:, None, None, None]
    return multiply_add(x, 1.0 + scale, shift)


@keras.saving.register_keras_serializable(package="keras_regen")
class DiTBlock(ConfiguredLayer):
    """Self-attention over space and time and an MLP, modulated by adaLN-Zero.

    Queries and keys are RMS-normalised, which bounds the logits in half precision.

    Args:
        units: int. Width, D.
        num_heads: int. Attention heads; must divide `units`.
        mlp_ratio: int. Width of the MLP's hidden layer divided by `units`. Defaults to
            `4`.
        mixing_size: int or None. Side of the window of a `DepthwiseMixing` before the
            MLP; `None` leaves it out, as in the paper. Defaults to `None`.
        remat: bool. Whether the backward pass computes the block again instead of
            keeping its activations. Defaults to `False`.
        window: tuple `(frames, rows, columns)` of int or None, in tokens, or None.
            Attention is within windows of this size; None stands for a whole axis.
            Defaults to `None`, attention to all tokens.
        shifted: bool. Whether the windows are shifted by half a window. Defaults to
            `False`.

    Call arguments:
        x: float tensor of shape `(B, F, h, w, units)`, the tokens.
        embedding: float tensor of shape `(B, units)`, the timestep embedding.

    Output shape:
        `(B, F, h, w, units)`.

    Example:

    >>> block = DiTBlock(32, num_heads=4)
    >>> tuple(block(keras.ops.ones((1, 3, 4, 4, 32)), keras.ops.ones((1, 32))).shape)
    (1, 3, 4, 4, 32)

    Reference:
        Peebles and Xie 2023, *Scalable Diffusion Models with Transformers*, figure 3.
    """

    def __init__(
        self,
        units: int,
        num_heads: int,
        mlp_ratio: int = 4,
        mixing_size: int | None = None,
        remat: bool = False,
        window: Sequence[int | None] | None = None,
        shifted: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units % num_heads:
            raise ValueError(
                "`num_heads` must divide `units`. "
                f"Received: units={units}, num_heads={num_heads}"
            )
        self.units = units
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.mixing_size = mixing_size
        self.remat = remat
        self.window = window and tuple(window)
        self.shifted = shifted
        dtype = self.dtype_policy
        layers = keras.layers
        self.modulation = layers.Dense(
            6 * units, kernel_initializer="zeros", dtype=dtype, name="modulation"
        )
        self.attention_norm = plain_norm("attention_norm", dtype)
        self.qkv = layers.Dense(3 * units, dtype=dtype, name="qkv")
        self.query_norm = layers.RMSNormalization(
            epsilon=1e-6, dtype=dtype, name="query_norm"
        )
        self.key_norm = layers.RMSNormalization(
            epsilon=1e-6, dtype=dtype, name="key_norm"
        )
        self.attention_output = layers.Dense(
            units, dtype=dtype, name="attention_output"
        )
        self.mlp_norm = plain_norm("mlp_norm", dtype)
        self.mixing = (
            DepthwiseMixing(mixing_size, dtype=dtype, name="mixing")
            if mixing_size
            else None
        )
        self.mlp_hidden = layers.Dense(
            mlp_ratio * units, dtype=dtype, name="mlp_hidden"
        )
        self.mlp_output = layers.Dense(units, dtype=dtype, name="mlp_output")

    def build(self, x_shape: Shape, embedding_shape: Shape) -> None:
        head_shape = (None, None, self.num_heads, self.units // self.num_heads)
        self.modulation.build(embedding_shape)
        self.attention_norm.build(x_shape)
        self.qkv.build(x_shape)
        self.query_norm.build(head_shape)
        self.key_norm.build(head_shape)
        self.attention_output.build(x_shape)
        self.mlp_norm.build(x_shape)
        if self.mixing:
            self.mixing.build(x_shape)
        self.mlp_hidden.build(x_shape)
        self.mlp_output.build((*x_shape[:-1], self.mlp_ratio * self.units))

    def call(self, x: Tensor, embedding: Tensor) -> Tensor:
        if self.remat:
            # A new function for each call: JAX caches the trace of a function, with
            # the weights of that moment, as long as the function lives.
            return keras.remat(lambda *inputs: self._transform(*inputs))(x, embedding)
        return self._transform(x, embedding)

    def _transform(self, x, embedding):
        modulation = self.modulation(ops.silu(embedding))
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = ops.split(
            modulation, 6, axis=-1
        )
        h = self._attend(modulate(layer_norm(self.attention_norm, x), shift_1, scale_1))
        x = multiply_add(h, gate_1[:, None, None, None], x)
        h = modulate(layer_norm(self.mlp_norm, x), shift_2, scale_2)
        if self.mixing:
            h = self.mixing(h)
        h = dense(self.mlp_output, dense(self.mlp_hidden, h, gelu=True))
        return multiply_add(h, gate_2[:, None, None, None], x)

    def _attend(self, x):
        if self.window and windows_at_once(x):
            return self._attend_in_windows(x, self.window)
        query, key, value = self._project(x)
        attended = windowed_attention(query, key, value, self.window, self.shifted)
        return dense(self.attention_output, ops.reshape(attended, ops.shape(x)))

    def _attend_in_windows(self, x, window):
        """Attends within all windows by one call.

        The samples are folded into the heads, since they share the mask.
        """
        grid = WindowGrid(ops.shape(x)[1:4], window, self.shifted)
        x = grid.cut(x)
        shape = ops.shape(x)
        windows, tokens, batch, _ = shape
        head_dim = self.units // self.num_heads
        heads = (windows, tokens, batch * self.num_heads, head_dim)
        query, key, value = (ops.reshape(part, heads) for part in self._project(x))
        x = dot_product_attention(query, key, value, grid.segments())
        return grid.join(dense(self.attention_output, ops.reshape(x, shape)))

    def _project(self, x):
        """Returns queries, keys and values, `(..., heads, head_dim)`."""
        heads = (*ops.shape(x)[:-1], self.num_heads, self.units // self.num_heads)
        query, key, value = (
            ops.reshape(part, heads)
            for part in ops.split(dense(self.qkv, x), 3, axis=-1)
        )
        query, key = normalize_queries_and_keys(
            self.query_norm, self.key_norm, query, key
        )
        return query, key, value

    def compute_output_shape(self, x_shape: Shape, embedding_shape: Shape) -> Shape:
        return x_shape
