"""Patches of a video as tokens, and back."""

import keras
from keras import ops

from keras_regen.layers.configured_layer import ConfiguredLayer


def patchify(video, patch_size):
    """Cuts every frame into square patches.

    Args:
        video: tensor of shape `(B, F, H, W, C)`, H and W multiples of `patch_size`.
        patch_size: int, in pixels.

    Returns:
        Tensor of shape `(B, F, H / patch_size, W / patch_size, patch_size**2 * C)`.
    """
    batch, frames, height, width, channels = ops.shape(video)
    rows, columns = height // patch_size, width // patch_size
    x = ops.reshape(
        video,
        (batch * frames, rows, patch_size, columns, patch_size * channels),
    )
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    return ops.reshape(x, (batch, frames, rows, columns, patch_size**2 * channels))


def unpatchify(patches, patch_size, overlap=0):
    """The inverse of `patchify`; where patches overlap, they are added.

    Args:
        patches: tensor of shape `(B, F, h, w, (patch_size + 2 * overlap)**2 * C)`.
        patch_size: int, in pixels.
        overlap: int, at most half of `patch_size`. Pixels by which a patch extends over
            each of its neighbours. A patch at the border of the frame is its own
            neighbour there. Defaults to `0`.

    Returns:
        Tensor of shape `(B, F, h * patch_size, w * patch_size, C)`.
    """
    batch, frames, rows, columns, features = ops.shape(patches)
    side = patch_size + 2 * overlap
    channels = features // side**2
    x = ops.reshape(patches, (batch * frames, rows, columns, side, side * channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    if overlap:
        x = _add_overlap(x, overlap)
        height = batch * frames * rows * patch_size
        x = ops.reshape(x, (height, columns, side, channels))
        x = _add_overlap(x, overlap)
    return ops.reshape(
        x, (batch, frames, rows * patch_size, columns * patch_size, channels)
    )


def _add_overlap(x, overlap):
    """Adds to each patch what its neighbours extend over it, along one axis.

    Args:
        x: tensor of shape `(N, n, patch_size + 2 * overlap, ...)`: n patches in a row.
        overlap: int, in pixels.

    Returns:
        Tensor of shape `(N, n, patch_size, ...)`.
    """
    before, own, after = (
        x[:, :, :overlap],
        x[:, :, overlap:-overlap],
        x[:, :, -overlap:],
    )
    from_previous = ops.concatenate([after[:, :1], after[:, :-1]], axis=1)
    from_next = ops.concatenate([before[:, 1:], before[:, -1:]], axis=1)
    return ops.concatenate(
        [
            own[:, :, :overlap] + from_previous,
            own[:, :, overlap:-overlap],
            own[:, :, -overlap:] + from_next,
        ],
        axis=2,
    )


@keras.saving.register_keras_serializable(package="keras_regen")
class Patchify(ConfiguredLayer):
    """`patchify` as a layer: pixels to channels, without weights."""

    def __init__(self, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size

    def call(self, video):
        return patchify(video, self.patch_size)

    def compute_output_shape(self, input_shape):
        batch, frames, *sizes, channels = input_shape
        sizes = [None if size is None else size // self.patch_size for size in sizes]
        return (batch, frames, *sizes, channels * self.patch_size**2)


@keras.saving.register_keras_serializable(package="keras_regen")
class Unpatchify(ConfiguredLayer):
    """`unpatchify` as a layer: channels to pixels, without weights."""

    def __init__(self, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size

    def call(self, patches):
        return unpatchify(patches, self.patch_size)

    def compute_output_shape(self, input_shape):
        batch, frames, *sizes, channels = input_shape
        sizes = [None if size is None else size * self.patch_size for size in sizes]
        return (batch, frames, *sizes, channels // self.patch_size**2)
