"""The causal video encoder."""

import json
from collections.abc import Sequence
from typing import Literal, TypeAlias

import keras

from keras_regen.configurable import FunctionalModel
from keras_regen.layers import CausalConv3D, Patchify, VariationalLatents
from keras_regen.models.config_checks import check_convolutional
from keras_regen.models.stages import (
    convolutions,
    halvings,
    of_stage,
    output_activation,
    residual_blocks,
)
from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.weights_digest import weights_digest

Regularization: TypeAlias = Literal["layer_norm", "kl"]


@keras.saving.register_keras_serializable(package="keras_regen")
class VideoEncoder(FunctionalModel):
    """Encodes k + 1 frames into two latent frames, content and motion.

    The convolutions are causal and the norms are over channels alone, so the content
    latent depends on the first frame alone, bit for bit. Height and width are halved
    three times and time log2(k) times; a stem with patches does the first halvings of
    height and width at once.

    Args:
        temporal_compression: int. k, a power of two from 2 to 64.
        latent_channels: int. Channels of a latent frame. Defaults to `8`.
        stem_patch_size: int. 1, 2, 4 or 8: side of the patches whose pixels become
            channels in the stem. With larger patches less is computed at full
            resolution. Defaults to `1`.
        widths: tuple of int. Channels of each stage; the last repeats. Defaults to
            `(128, 256, 256, 512)`.
        num_blocks: tuple of int. Residual blocks of each stage; the last repeats.
            Defaults to `(2,)`.
        kernel_sizes: the kernels of a residual block, see `ResidualBlock3D`.
        regularization: how the latents are kept in bounds: `None`, not at all;
            `"layer_norm"`, each latent vector is normalised over its channels; or
            `"kl"`, see `VariationalLatents`. Defaults to `None`.
        kl_weight: float. Weight of the divergence for `"kl"`. Defaults to `1e-5`.
        remat: bool. Whether the backward pass computes each residual block again
            instead of keeping its activations: less memory for more time. Defaults to
            `False`.

    Input shape:
        `(B, k + 1, H, W, 3)`, float in [-1, 1], H and W multiples of 8; or
        `(B, 1, H, W, 3)`, images.

    Output shape:
        `(B, 2, H / 8, W / 8, latent_channels)`, float32; `(B, 1, ...)` for images.

    Raises:
        ValueError: if an argument is not as above, or beyond the limits in
            `config_checks`.

    Example:

    >>> encoder = VideoEncoder(4, widths=(8,), num_blocks=(1,))
    >>> tuple(encoder(keras.ops.zeros((1, 5, 16, 24, 3))).shape)
    (1, 2, 2, 3, 8)

    Reference:
        Zhang et al. 2025, *REGEN*, section 3.1; Yu et al. 2023 (MAGVIT-v2),
        section 3.1.
    """

    def __init__(
        self,
        temporal_compression: int,
        latent_channels: int = 8,
        stem_patch_size: int = 1,
        widths: Sequence[int] = (128, 256, 256, 512),
        num_blocks: Sequence[int] = (2,),
        kernel_sizes: Sequence[Sequence[int]] = ((3, 3, 3), (3, 3, 3)),
        regularization: Regularization | None = None,
        kl_weight: float = 1e-5,
        remat: bool = False,
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        check_convolutional(locals())
        space_halvings, time_halvings = halvings(temporal_compression, stem_patch_size)
        if regularization not in (None, "layer_norm", "kl"):
            raise ValueError(
                '`regularization` must be None, "layer_norm" or "kl". '
                f"Received: regularization={regularization!r}"
            )
        dtype = keras.dtype_policies.get(dtype)
        num_stages = 1 + max(space_halvings, time_halvings)

        # === Layers ===
        stem = [
            Patchify(stem_patch_size, dtype=dtype, name="stem_patches"),
            CausalConv3D(widths[0], (3, 3, 3), dtype=dtype, name="stem"),
        ]
        body = []
        for stage in range(num_stages):
            if stage > 0:
                time, space = stage <= time_halvings, stage <= space_halvings
                body.append(
                    CausalConv3D(
                        of_stage(widths, stage),
                        kernel_size=(3 if time else 1, *[3 if space else 1] * 2),
                        strides=(2 if time else 1, *[2 if space else 1] * 2),
                        dtype=dtype,
                        name=f"stage_{stage}_down",
                    )
                )
            body += residual_blocks(
                stage, widths, num_blocks, kernel_sizes, remat, dtype
            )
        head = [
            *output_activation(dtype),
            CausalConv3D(
                latent_channels * (2 if regularization == "kl" else 1),
                (1, 3, 3),
                dtype="float32",
                name="output_conv",
            ),
        ]
        if regularization == "layer_norm":
            head.append(
                keras.layers.LayerNormalization(
                    epsilon=1e-6,
                    center=False,
                    scale=False,
                    dtype="float32",
                    name="latent_norm",
                )
            )
        elif regularization == "kl":
            head.append(
                VariationalLatents(kl_weight, dtype="float32", name="variational")
            )

        # === Functional Model ===
        video = keras.Input((None, None, None, 3), name="video")
        x = video
        for layer in stem + body + head:
            x = layer(x)
        super().__init__(video, x, dtype, name=name, trainable=trainable)

        # === Config ===
        self.temporal_compression = temporal_compression
        self.latent_channels = latent_channels
        self.stem_patch_size = stem_patch_size
        self.widths = tuple(widths)
        self.num_blocks = tuple(num_blocks)
        self.kernel_sizes = tuple(tuple(size) for size in kernel_sizes)
        self.regularization = regularization
        self.kl_weight = kl_weight
        self.remat = remat

    @property
    def context(self) -> int:
        """Number of latents on each side, in space, that a latent depends on.

        A crop of a frame with this margin has the latents of the whole frame.
        """
        reach, pixels = 0, self.stem_patch_size
        for layer in self.layers:
            for conv in convolutions(layer):
                kernel, stride = conv.kernel_size[1], conv.strides[1]
                # A strided kernel lies off centre.
                reach += pixels * (kernel // 2 if stride == 1 else kernel - 1)
                pixels *= stride
        return -(-reach // SPATIAL_COMPRESSION)

    def fingerprint(self) -> str:
        """Returns 16 hexadecimal digits, equal for encoders that encode equally.

        They depend on the architecture and the float32 values of the weights, not on
        the backend or the dtype policy.
        """
        prefix = json.dumps(self._architecture()).encode()
        return weights_digest(self.get_weights(), prefix)[:16]

    def _architecture(self):
        # Fingerprints depend on the order of these keys.
        config = {
            "temporal_compression": self.temporal_compression,
            "latent_channels": self.latent_channels,
            "stem_patch_size": self.stem_patch_size,
            "widths": self.widths,
            "num_blocks": self.num_blocks,
            "kernel_sizes": self.kernel_sizes,
        }
        # Left out if None: fingerprints from before it existed stay the same.
        if self.regularization:
            config["regularization"] = self.regularization
        return config
