"""The conventional decoder, to compare the DiT with."""

from collections.abc import Sequence

import keras

from keras_regen.configurable import FunctionalModel
from keras_regen.layers import CausalConv3D, CausalUpsample3D, Unpatchify
from keras_regen.models.config_checks import check_convolutional
from keras_regen.models.stages import (
    halvings,
    of_stage,
    output_activation,
    residual_blocks,
)


@keras.saving.register_keras_serializable(package="keras_regen")
class ConvDecoder(FunctionalModel):
    """Decodes two latent frames to k + 1 frames, in one deterministic pass.

    It mirrors `VideoEncoder`, in the style of MAGVIT-v2: causal 3D convolutions with
    channel-wise norms, and depth to space where the encoder has strides. The first
    frame is decoded from the content latent alone.

    Args:
        temporal_compression: int. k, a power of two from 2 to 64.
        latent_channels: int. Channels of a latent frame. Defaults to `8`.
        stem_patch_size: int. 1, 2, 4 or 8: side of the patches that the last
            convolution outputs. Defaults to `1`.
        widths: tuple of int. Channels of each stage, from full resolution on; the last
            repeats. Defaults to `(128, 256, 256, 512)`.
        num_blocks: tuple of int. Residual blocks of each stage; the last repeats.
            Defaults to `(2,)`.
        kernel_sizes: the kernels of a residual block, see `ResidualBlock3D`.
        remat: bool. See `VideoEncoder`. Defaults to `False`.

    Input shape:
        `(B, 2, h, w, latent_channels)`; `(B, 1, h, w, latent_channels)` for images.

    Output shape:
        `(B, k + 1, 8h, 8w, 3)`, float32; `(B, 1, 8h, 8w, 3)` for images.

    Raises:
        ValueError: if an argument is not as above, or beyond the limits in
            `config_checks`.

    Example:

    >>> decoder = ConvDecoder(4, widths=(8,), num_blocks=(1,))
    >>> tuple(decoder(keras.ops.zeros((1, 2, 2, 3, 8))).shape)
    (1, 5, 16, 24, 3)

    Reference:
        Yu et al. 2023, *Language Model Beats Diffusion: Tokenizer is Key to Visual
        Generation* (MAGVIT-v2), section 3.1 and appendix A.
    """

    # Whether it is a stack of convolutions, whose costs are counted one by one.
    is_convolutional = True

    def __init__(
        self,
        temporal_compression: int,
        latent_channels: int = 8,
        stem_patch_size: int = 1,
        widths: Sequence[int] = (128, 256, 256, 512),
        num_blocks: Sequence[int] = (2,),
        kernel_sizes: Sequence[Sequence[int]] = ((3, 3, 3), (3, 3, 3)),
        remat: bool = False,
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        check_convolutional(locals())
        space_halvings, time_halvings = halvings(temporal_compression, stem_patch_size)
        dtype = keras.dtype_policies.get(dtype)
        last = max(space_halvings, time_halvings)

        # === Layers ===
        layers = [
            CausalConv3D(of_stage(widths, last), (3, 3, 3), dtype=dtype, name="stem")
        ]
        for stage in range(last, -1, -1):
            if stage < last:
                time, space = stage < time_halvings, stage < space_halvings
                layers.append(
                    CausalUpsample3D(
                        of_stage(widths, stage),
                        kernel_size=(3 if time else 1, *[3 if space else 1] * 2),
                        strides=(2 if time else 1, 2 if space else 1),
                        dtype=dtype,
                        name=f"stage_{stage}_up",
                    )
                )
            layers += residual_blocks(
                stage, widths, num_blocks, kernel_sizes, remat, dtype
            )
        layers += [
            *output_activation(dtype),
            CausalConv3D(
                3 * stem_patch_size**2, (3, 3, 3), dtype="float32", name="output_conv"
            ),
            Unpatchify(stem_patch_size, dtype="float32", name="output_patches"),
        ]

        # === Functional Model ===
        latents = keras.Input((None, None, None, latent_channels), name="latents")
        x = latents
        for layer in layers:
            x = layer(x)
        super().__init__(latents, x, dtype, name=name, trainable=trainable)

        # === Config ===
        self.temporal_compression = temporal_compression
        self.latent_channels = latent_channels
        self.stem_patch_size = stem_patch_size
        self.widths = tuple(widths)
        self.num_blocks = tuple(num_blocks)
        self.kernel_sizes = tuple(tuple(size) for size in kernel_sizes)
        self.remat = remat
