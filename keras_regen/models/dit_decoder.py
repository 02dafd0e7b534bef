"""REGEN's diffusion transformer decoder."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import keras

from keras_regen.configurable import FunctionalModel
from keras_regen.layers import (
    ContentAwarePositionalEncoding,
    DiTBlock,
    InContextTokens,
    PatchEmbedding,
    PatchOutput,
    SineCosinePositionalEncoding,
    TimestepEmbedding,
)
from keras_regen.models.config_checks import check_transformer

Conditioning: TypeAlias = Literal["content_aware", "in_context"]


@keras.saving.register_keras_serializable(package="keras_regen")
class DiTDecoder(FunctionalModel):
    """Predicts a denoising step of a chunk from its latents.

    A transformer over patches of 8x8 pixels, with attention over space and time and
    adaLN-Zero modulation by the timestep. The content-aware positional encoding expands
    the latents and adds them to the tokens. There is no other positional encoding, so
    any size, aspect ratio, number of frames and times can be decoded.

    Args:
        temporal_compression: int. Frames after the first in one chunk, k.
        latent_channels: int. Channels of a latent frame. Defaults to `8`.
        units: int. Width, D. Defaults to `256`.
        depth: int. Number of transformer blocks. Defaults to `6`.
        num_heads: int. Attention heads; must divide `units`. Defaults to `4`.
        mlp_ratio: int. See `DiTBlock`. Defaults to `4`.
        mixing_size: int or None. See `DiTBlock`. Defaults to `None`.
        siren_features: int. Width of the SIREN. Defaults to `128`.
        conditioning: `"content_aware"`, as in the paper; or `"in_context"`, as in its
            ablation: the latents are extra tokens and the positional encodings are
            fixed sines and cosines. Defaults to `"content_aware"`.
        remat: bool. Whether the backward pass computes each block again instead of
            keeping its activations: less memory for more time. Defaults to `False`.
        window: tuple `(frames, rows, columns)` of int or None, in tokens, or None.
            Attention is within windows of this size, shifted by half a window in every
            other block, so that the cost grows linearly with frames and area; None
            stands for a whole axis. `(None, 8, 8)` are windows of 64x64 pixels over all
            frames. Defaults to `None`, full attention.
        patch_overlap: int. Pixels by which the patches of the output overlap on each
            side; see `PatchOutput`. Defaults to `0`.

    Call arguments:
        inputs: dict of
            `video`: float tensor of shape `(B, F, H, W, 3)`, x_t, H and W multiples
            of 8;
            `timestep`: float tensor of shape `(B,)`, in [0, 1], 1 being pure noise;
            `latents`: float tensor of shape `(B, 2, H / 8, W / 8, C)`, or `(B, 1, ...)`
            for images;
            `times`: float tensor of shape `(B, F)`, in frames from the chunk's first.

    Output shape:
        `(B, F, H, W, 3)`, float32: the prediction, in the space of the model's
        `Prediction`.

    Raises:
        ValueError: if an argument is not as above, or beyond the limits in
            `config_checks`.

    Reference:
        Zhang et al. 2025, *REGEN*, sections 3.2 and 3.3; Peebles and Xie 2023 (DiT).
    """

    # Not a stack of convolutions: costs are counted by its tokens.
    is_convolutional = False

    def __init__(
        self,
        temporal_compression: int,
        latent_channels: int = 8,
        units: int = 256,
        depth: int = 6,
        num_heads: int = 4,
        mlp_ratio: int = 4,
        mixing_size: int | None = None,
        siren_features: int = 128,
        conditioning: Conditioning = "content_aware",
        remat: bool = False,
        window: Sequence[int | None] | None = None,
        patch_overlap: int = 0,
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        check_transformer(locals())
        if conditioning not in ("content_aware", "in_context"):
            raise ValueError(
                '`conditioning` must be "content_aware" or "in_context". '
                f"Received: conditioning={conditioning}"
            )
        if window is not None:
            window = tuple(window)
            if conditioning == "in_context":
                raise ValueError(
                    "`window` must be None for in-context conditioning, where all "
                    f"tokens must see the latents. Received: window={window}"
                )
        dtype = keras.dtype_policies.get(dtype)

        # === Layers ===
        patch_embedding = PatchEmbedding(units, dtype=dtype, name="patch_embedding")
        timestep_embedding = TimestepEmbedding(
            units, dtype=dtype, name="timestep_embedding"
        )
        blocks = [
            DiTBlock(
                units,
                num_heads,
                mlp_ratio,
                mixing_size,
                remat,
                window,
                shifted=bool(window) and i % 2 == 1,
                dtype=dtype,
                name=f"block_{i}",
            )
            for i in range(depth)
        ]
        patch_output = PatchOutput(
            units, overlap=patch_overlap, dtype=dtype, name="patch_output"
        )

        # === Functional Model ===
        inputs = {
            "video": keras.Input((None, None, None, 3), name="video"),
            "timestep": keras.Input((), name="timestep"),
            "latents": keras.Input((None, None, None, latent_channels), name="latents"),
            "times": keras.Input((None,), name="times"),
        }
        x = patch_embedding(inputs["video"])
        t = timestep_embedding(inputs["timestep"])
        if conditioning == "content_aware":
            encoding = ContentAwarePositionalEncoding(
                units,
                temporal_compression,
                siren_features,
                dtype=dtype,
                name="positional_encoding",
            )
            x = x + encoding(inputs["latents"], inputs["times"])
        else:
            positions = SineCosinePositionalEncoding(
                dtype=dtype, name="positional_encoding"
            )
            x = positions(x, inputs["times"])
            x = InContextTokens(units, dtype=dtype, name="in_context_tokens")(
                x, inputs["latents"]
            )
        for block in blocks:
            x = block(x, t)
        if conditioning == "in_context":
            x = x[:, :-2]
        outputs = patch_output(x, t)
        super().__init__(inputs, outputs, dtype, name=name, trainable=trainable)

        # === Config ===
        self.temporal_compression = temporal_compression
        self.latent_channels = latent_channels
        self.units = units
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.mixing_size = mixing_size
        self.siren_features = siren_features
        self.conditioning = conditioning
        self.remat = remat
        self.window = window
        self.patch_overlap = patch_overlap
