"""The layers of the models."""

from keras_regen.layers.alternating_dense import AlternatingDense
from keras_regen.layers.attention import dot_product_attention, logits_held
from keras_regen.layers.causal_conv3d import CausalConv3D
from keras_regen.layers.causal_upsample3d import CausalUpsample3D
from keras_regen.layers.content_aware_positional_encoding import (
    ContentAwarePositionalEncoding,
)
from keras_regen.layers.depthwise_mixing import DepthwiseMixing
from keras_regen.layers.dit_block import DiTBlock
from keras_regen.layers.in_context_tokens import InContextTokens
from keras_regen.layers.kernels import matrix_product
from keras_regen.layers.latent_output import LatentOutput
from keras_regen.layers.latent_transformer_block import LatentTransformerBlock
from keras_regen.layers.modulated_siren import ModulatedSiren
from keras_regen.layers.patch_embedding import PatchEmbedding
from keras_regen.layers.patch_output import PatchOutput
from keras_regen.layers.patches import Patchify, Unpatchify, patchify, unpatchify
from keras_regen.layers.residual_block3d import ResidualBlock3D
from keras_regen.layers.rotary_positions import RotaryPositions
from keras_regen.layers.sine_cosine_positional_encoding import (
    SineCosinePositionalEncoding,
)
from keras_regen.layers.text_tokens import TextTokens
from keras_regen.layers.timestep_embedding import TimestepEmbedding
from keras_regen.layers.variational_latents import VariationalLatents
from keras_regen.layers.windows import axis_windows

__all__ = [
    "AlternatingDense",
    "CausalConv3D",
    "CausalUpsample3D",
    "ContentAwarePositionalEncoding",
    "DepthwiseMixing",
    "DiTBlock",
    "InContextTokens",
    "LatentOutput",
    "LatentTransformerBlock",
    "ModulatedSiren",
    "PatchEmbedding",
    "PatchOutput",
    "Patchify",
    "ResidualBlock3D",
    "RotaryPositions",
    "SineCosinePositionalEncoding",
    "TextTokens",
    "TimestepEmbedding",
    "Unpatchify",
    "VariationalLatents",
    "axis_windows",
    "dot_product_attention",
    "logits_held",
    "matrix_product",
    "patchify",
    "unpatchify",
]
