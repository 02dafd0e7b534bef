"""The transformer that generates latents."""

from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_regen.configurable import FunctionalModel
from keras_regen.layers import (
    AlternatingDense,
    LatentOutput,
    LatentTransformerBlock,
    Patchify,
    RotaryPositions,
    TextTokens,
    TimestepEmbedding,
    Unpatchify,
)
from keras_regen.models import (
    check_latent_transformer,
    latent_layout_map,
)
from keras_regen.types import TransformerSize

TRANSFORMERS: dict[str, dict[str, int]] = {
    "nano": {"units": 128, "depth": 6, "num_heads": 4},
    "tiny": {"units": 256, "depth": 8, "num_heads": 4},
    "small": {"units": 384, "depth": 12, "num_heads": 6},
    "base": {"units": 768, "depth": 24, "num_heads": 12},
    # About as many parameters as the paper's text-to-video model.
    "paper": {"units": 3072, "depth": 30, "num_heads": 24},
}


@keras.saving.register_keras_serializable(package="keras_regen")
class LatentTransformer(FunctionalModel):
    """Predicts a denoising step of a video's latents.

    A transformer whose tokens are the latents of a whole video, content and motion in
    turns, each at its place in space and time. Every latent frame has a diffusion time
    of its own, so that some may be given and others generated. It can be conditioned by
    a text, whose embeddings the tokens attend to, or by a label.

    Args:
        latent_channels: int. Channels of a latent frame, C. Defaults to `8`.
        units: int. Width, D. Defaults to `256`.
        depth: int. Number of transformer blocks. Defaults to `8`.
        num_heads: int. Attention heads; `units` must be a multiple of 16 times as many.
            Defaults to `4`.
        mlp_ratio: int. Width of the MLP's hidden layer divided by `units`. Defaults to
            `4`.
        text_channels: int or None. Channels of the embeddings of a text, E. With None
            there is no text. Defaults to `None`.
        num_labels: int or None. Number of labels. With None there are none. Defaults to
            `None`.
        remat: bool. Whether the backward pass computes each block again instead of
            keeping its activations. Defaults to `False`.
        window: tuple `(frames, rows, columns)` of int or None, in tokens, or None. See
            `DiTDecoder`. Defaults to `None`, full attention.
        patch_size: int. A token is a square of as many latents on each side, which must
            divide `h` and `w`. Defaults to `1`.

    Call arguments:
        inputs: dict of
            `latents`: float tensor of shape `(B, 2n, h, w, C)`, x_t, normalised;
            `timestep`: float tensor of shape `(B, 2n)`, in [0, 1]: 0 is data, 1 is
            noise;
            `times`: float tensor of shape `(B, 2n)`: where each latent frame is in the
            video, in frames;
            with a text: `text`, float tensor of shape `(B, L, E)`, and `text_mask`,
            bool tensor of shape `(B, L)`: which of its tokens count; with none the
            video is generated without a text;
            with labels: `label`, int tensor of shape `(B,)`; `num_labels` stands for
            none.

    Output shape:
        `(B, 2n, h, w, C)`, float32: the prediction.

    Raises:
        ValueError: if an argument is not as above.

    Example:

    >>> transformer = LatentTransformer(units=64, depth=2, num_heads=2, num_labels=10)
    >>> video = {"latents": np.zeros((1, 4, 2, 3, 8)), "timestep": np.ones((1, 4))}
    >>> condition = {"times": np.array([[0, 4.5, 9, 13.5]]), "label": np.array([3])}
    >>> tuple(transformer({**video, **condition}).shape)
    (1, 4, 2, 3, 8)

    Reference:
        Chen et al. 2023, *PixArt-alpha*, section 2.3; Chen et al. 2024, *Diffusion
        Forcing: Next-token Prediction Meets Full-Sequence Diffusion*, section 3 (a
        diffusion time for each frame).
    """

    def __init__(
        self,
        latent_channels: int = 8,
        units: int = 256,
        depth: int = 8,
        num_heads: int = 4,
        mlp_ratio: int = 4,
        text_channels: int | None = None,
        num_labels: int | None = None,
        remat: bool = False,
        window: Sequence[int | None] | None = None,
        patch_size: int = 1,
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        check_latent_transformer(locals())
        if window is not None:
            window = tuple(window)
        dtype = keras.dtype_policies.get(dtype)

        # === Layers ===
        embedding = AlternatingDense(units, dtype=dtype, name="latent_embedding")
        timestep_embedding = TimestepEmbedding(
            units, dtype=dtype, name="timestep_embedding"
        )
        rotary_positions = RotaryPositions(
            units // num_heads, dtype=dtype, name="rotary_positions"
        )
        modulation = keras.layers.Dense(
            6 * units, kernel_initializer="zeros", dtype=dtype, name="modulation"
        )
        blocks = [
            LatentTransformerBlock(
                units,
                num_heads,
                mlp_ratio,
                text_channels is not None,
                remat,
                window,
                shifted=bool(window) and i % 2 == 1,
                dtype=dtype,
                name=f"block_{i}",
            )
            for i in range(depth)
        ]
        latent_output = LatentOutput(
            units, latent_channels * patch_size**2, dtype=dtype, name="latent_output"
        )

        # === Functional Model ===
        inputs = {
            "latents": keras.Input((None, None, None, latent_channels), name="latents"),
            "timestep": keras.Input((None,), name="timestep"),
            "times": keras.Input((None,), name="times"),
        }
        x = Patchify(patch_size, dtype=dtype, name="patchify")(inputs["latents"])
        x = embedding(x)
        angles = rotary_positions(x, inputs["times"])
        t = timestep_embedding(inputs["timestep"])
        text = ()
        if text_channels is not None:
            inputs["text"] = keras.Input((None, text_channels), name="text")
            inputs["text_mask"] = keras.Input((None,), name="text_mask", dtype="bool")
            text = TextTokens(units, dtype=dtype, name="text_tokens")(
                inputs["text"], inputs["text_mask"]
            )
        if num_labels is not None:
            inputs["label"] = keras.Input((), name="label", dtype="int32")
            label = keras.layers.Embedding(
                num_labels + 1,
                units,
                # As large as the embedding of the time: both are learned equally fast.
                keras.initializers.RandomNormal(stddev=0.5),
                dtype=dtype,
                name="label_embedding",
            )(inputs["label"])
            t = t + label[:, None]
        shared = modulation(ops.silu(t))
        for block in blocks:
            x = block(x, shared, angles, *text)
        outputs = Unpatchify(patch_size, dtype="float32", name="unpatchify")(
            latent_output(x, t)
        )
        super().__init__(inputs, outputs, dtype, name=name, trainable=trainable)

        # === Config ===
        self.latent_channels = latent_channels
        self.units = units
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.text_channels = text_channels
        self.num_labels = num_labels
        self.remat = remat
        self.window = window
        self.patch_size = patch_size

    @classmethod
    def from_architecture(cls, name: TransformerSize, **kwargs: Any) -> Self:
        """Builds an untrained transformer by the name of its size.

        Args:
            name: `"nano"`, `"tiny"`, `"small"`, `"base"` or `"paper"`.
            **kwargs: arguments of `LatentTransformer`.

        Raises:
            ValueError: if the name is unknown.
        """
        if name not in TRANSFORMERS:
            raise ValueError(
                f"The sizes are {', '.join(TRANSFORMERS)}. Received: name={name!r}"
            )
        return cls(**{**TRANSFORMERS[name], **kwargs})

    @staticmethod
    def get_layout_map(
        device_mesh: keras.distribution.DeviceMesh,
        model_parallel_dim_name: str = "model",
        data_parallel_dim_name: str = "batch",
    ) -> keras.distribution.LayoutMap:
        """Lays out the weights for `keras.distribution.ModelParallel` (JAX).

        The weights of a `LatentDiffusion` are those of its transformer.

        Args:
            device_mesh: as for `Regen.get_layout_map`.
            model_parallel_dim_name: as for `Regen.get_layout_map`.
            data_parallel_dim_name: as for `Regen.get_layout_map`.

        Returns:
            A `keras.distribution.LayoutMap`.

        Raises:
            ValueError: if `device_mesh` is not a `DeviceMesh` or lacks these axes.
        """
        return latent_layout_map(
            device_mesh, model_parallel_dim_name, data_parallel_dim_name
        )
