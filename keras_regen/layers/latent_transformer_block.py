"""Block of the transformer that generates latents."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.layers.kernels import (
    dense,
    layer_norm,
    multiply_add,
    normalize_queries_and_keys,
    plain_norm,
)
from keras_regen.layers.rotary_positions import rotate
from keras_regen.layers.windows import windowed_attention
from keras_regen.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_regen")
class LatentTransformerBlock(ConfiguredLayer):
    """Self-attention with rotary positions, attention to a text, and an MLP.

    Each latent frame has a modulation of its own, since each has its own diffusion
    time. A layer that all blocks share computes it, and every block adds its table.
    Queries and keys are RMS-normalised, which bounds the logits in half precision.

    Args:
        units: int. Width, D.
        num_heads: int. Attention heads; must divide `units`.
        mlp_ratio: int. Width of the MLP's hidden layer divided by `units`. Defaults to
            `4`.
        has_text: bool. Whether tokens attend to a text. Defaults to `False`.
        remat: bool. Whether the backward pass computes the block again instead of
            keeping its activations. Defaults to `False`.
        window: tuple `(frames, rows, columns)` of int or None, in tokens, or None. See
            `DiTBlock`. Defaults to `None`, attention to all tokens.
        shifted: bool. Whether the windows are shifted by half a window. Defaults to
            `False`.

    Call arguments:
        x: float tensor of shape `(B, F, h, w, units)`, the tokens.
        modulation: float tensor of shape `(B, F, 6 * units)`.
        angles: float32 tensor of shape `(B, F, h, w, units / num_heads / 2)`, see
            `RotaryPositions`.
        text: float tensor of shape `(B, L, units)`, if `has_text`.
        text_mask: bool tensor of shape `(B, L)`, which tokens of the text count, if
            `has_text`. At least one must.

    Output shape:
        `(B, F, h, w, units)`.

    Reference:
        Chen et al. 2023, *PixArt-alpha: Fast Training of Diffusion Transformer for
        Photorealistic Text-to-Image Synthesis*, section 2.3 (`adaLN-single`).
    """

    def __init__(
        self,
        units: int,
        num_heads: int,
        mlp_ratio: int = 4,
        has_text: bool = False,
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
        self.has_text = has_text
        self.remat = remat
        self.window = window and tuple(window)
        self.shifted = shifted
        # All inputs but the angles are cast: late times would have the same ones.
        self.autocast = False

        def dense_layer(name, width, **kwargs):
            return keras.layers.Dense(
                width, dtype=self.dtype_policy, name=name, **kwargs
            )

        def head_norm(name):
            return keras.layers.RMSNormalization(
                epsilon=1e-6, dtype=self.dtype_policy, name=name
            )

        self.attention_norm = plain_norm("attention_norm", self.dtype_policy)
        self.qkv = dense_layer("qkv", 3 * units)
        self.query_norm = head_norm("query_norm")
        self.key_norm = head_norm("key_norm")
        self.attention_output = dense_layer("attention_output", units)
        if has_text:
            self.text_norm = plain_norm("text_norm", self.dtype_policy)
            self.text_query = dense_layer("text_query", units)
            self.text_key_value = dense_layer("text_key_value", 2 * units)
            self.text_query_norm = head_norm("text_query_norm")
            self.text_key_norm = head_norm("text_key_norm")
            # A block starts as the identity: the modulation closes its other gates.
            self.text_output = dense_layer(
                "text_output", units, kernel_initializer="zeros"
            )
        self.mlp_norm = plain_norm("mlp_norm", self.dtype_policy)
        self.mlp_hidden = dense_layer("mlp_hidden", mlp_ratio * units)
        self.mlp_output = dense_layer("mlp_output", units)

    def build(
        self,
        x_shape: Shape,
        modulation_shape: Shape,
        angles_shape: Shape,
        text_shape: Shape | None = None,
        text_mask_shape: Shape | None = None,
    ) -> None:
        head_shape = (None, None, self.num_heads, self.units // self.num_heads)
        self.table = self.add_weight(
            shape=(6 * self.units,), initializer="zeros", name="table"
        )
        layers = [self.attention_norm, self.qkv, self.attention_output]
        norms = [self.query_norm, self.key_norm]
        if self.has_text:
            layers += [self.text_norm, self.text_query, self.text_output]
            norms += [self.text_query_norm, self.text_key_norm]
            self.text_key_value.build(text_shape)
        for layer in (*layers, self.mlp_norm, self.mlp_hidden):
            layer.build(x_shape)
        for norm in norms:
            norm.build(head_shape)
        self.mlp_output.build((*x_shape[:-1], self.mlp_ratio * self.units))

    def call(
        self,
        x: Tensor,
        modulation: Tensor,
        angles: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        # A new function for each call, as in `DiTBlock`. The mask, which has no
        # gradient, is captured.
        def transform(*inputs):
            return self._transform(text_mask, *inputs)

        if self.remat:
            transform = keras.remat(transform)
        x, modulation, *text = (
            ops.cast(value, self.compute_dtype)
            for value in (x, modulation, *([text] if self.has_text else []))
        )
        return transform(x, modulation, angles, *text)

    def _transform(self, text_mask, x, modulation, angles, text=None):
        modulation = modulation + ops.cast(self.table, modulation.dtype)
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = (
            part[:, :, None, None] for part in ops.split(modulation, 6, axis=-1)
        )
        h = multiply_add(layer_norm(self.attention_norm, x), 1.0 + scale_1, shift_1)
        x = multiply_add(self._attend(h, angles), gate_1, x)
        if self.has_text:
            x = x + self._attend_to_text(layer_norm(self.text_norm, x), text, text_mask)
        h = multiply_add(layer_norm(self.mlp_norm, x), 1.0 + scale_2, shift_2)
        h = dense(self.mlp_output, dense(self.mlp_hidden, h, gelu=True))
        return multiply_add(h, gate_2, x)

    def _attend(self, x, angles):
        query, key, value = (
            self._heads(part) for part in ops.split(dense(self.qkv, x), 3, axis=-1)
        )
        query, key = normalize_queries_and_keys(
            self.query_norm, self.key_norm, query, key, merge_scales=False
        )
        query, key = rotate(query, angles), rotate(key, angles)
        attended = windowed_attention(query, key, value, self.window, self.shifted)
        return dense(self.attention_output, ops.reshape(attended, ops.shape(x)))

    def _attend_to_text(self, x, text, mask):
        shape = ops.shape(x)
        query = self._heads(dense(self.text_query, x))
        query = ops.reshape(query, (shape[0], -1, *ops.shape(query)[-2:]))
        key, value = (
            self._heads(part)
            for part in ops.split(dense(self.text_key_value, text), 2, axis=-1)
        )
        query, key = normalize_queries_and_keys(
            self.text_query_norm, self.text_key_norm, query, key
        )
        attended = ops.dot_product_attention(
            query, key, value, mask=ops.cast(mask, "bool")[:, None, None]
        )
        return dense(self.text_output, ops.reshape(attended, shape))

    def _heads(self, x):
        head_dim = self.units // self.num_heads
        return ops.reshape(x, (*ops.shape(x)[:-1], self.num_heads, head_dim))

    def compute_output_shape(self, x_shape: Shape, *other_shapes: Shape) -> Shape:
        return x_shape
