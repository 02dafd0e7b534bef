"""Models of this package as embedders."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_regen.evaluation.embedders.embedder import (
    BITS_PER_VALUE,
    Reconstruction,
    as_stored,
    check_frames,
)
from keras_regen.weights_digest import weights_digest

if TYPE_CHECKING:
    from keras_regen.codec import VideoCodec


class VideoCodecEmbedder:
    """A `VideoCodec` as an embedder. Its latents are stored as float16.

    Args:
        codec: a `VideoCodec`.
        num_steps: int. Sampling steps. Defaults to `1`.
        seed: int. Seed of the noise canvas. Defaults to `0`.
        name: str or None. Defaults to the name of the preset, or of the run if it is
            the `preset` of a run, or of the model's class without a preset.

    Example:

    >>> from keras_regen.evaluation.embedders import VideoCodecEmbedder
    >>> regen = keras_regen.Regen.from_architecture("tiny", temporal_compression=4)
    >>> embedder = VideoCodecEmbedder(keras_regen.VideoCodec(regen))
    >>> embedder.num_values(7, 17, 9)
    192
    """

    def __init__(
        self,
        codec: "VideoCodec",
        num_steps: int = 1,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        self.codec = codec
        self.num_steps = num_steps
        self.seed = seed
        # It imports Keras, whose backend must be chosen first.
        from keras_regen.models import preset_name

        model = codec.model
        own = preset_name(model.preset) if model.preset else type(model).__name__
        self.name = name or own

    @functools.cached_property
    def identity(self) -> list[Any]:
        """See `Embedder`."""
        import keras

        codec = self.codec
        weights = weights_digest(codec.model.get_weights())
        # A frame is cut into the largest tiles that fit into `max_memory`.
        tiles = codec.tile_size, codec.max_memory
        settings = codec.chunking, codec.blend_frames, *tiles
        # The backend decides the time of a frame.
        how = codec.model.dtype_policy.name, keras.backend.backend()
        return [weights, *settings, self.num_steps, self.seed, *how]

    def reconstruct(self, video: np.ndarray) -> Reconstruction:
        """See `Embedder`."""
        check_frames(video)
        latents = self.codec.encode(video)
        latents = dataclasses.replace(latents, array=as_stored(latents.array))
        decoded = self.codec.decode(latents, num_steps=self.num_steps, seed=self.seed)
        num_values = latents.array.size
        return Reconstruction(decoded, num_values, BITS_PER_VALUE * num_values)

    def num_values(self, num_frames: int, height: int, width: int) -> int:
        """See `Embedder`."""
        chunks, rows, columns, channels = self.codec.latent_shape(
            num_frames, height, width
        )
        return chunks * rows * columns * channels
