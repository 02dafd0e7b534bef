"""Between pixels and patches."""

from typing import Any

import keras
from keras import ops

from keras_regen.configurable import ConfiguredLayer
from keras_regen.types import Shape, Tensor


def patchify(video: Tensor, patch_size: int) -> Tensor:
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


def unpatchify(patches: Tensor, patch_size: int, overlap: int = 0) -> Tensor:
    """Inverts `patchify`, and adds patches where they overlap.

    Args:
        patches: tensor of shape `(B, F, h, w, (patch_size + 2 * overlap)**2 * C)`.
        patch_size: int, in pixels.
        overlap: int, at most half of `patch_size`. Pixels by which a patch extends over
            each of its neighbours. Beyond the border of the frame a patch is its own
            neighbour. Defaults to `0`.

    Returns:
        Tensor of shape `(B, F, h * patch_size, w * patch_size, C)`.
    """
    batch, frames, rows, columns, features = ops.shape(patches)
    side = patch_size + 2 * overlap
    channels = features // side**2
    x = ops.reshape(patches, (batch * frames, rows, columns, side, side * channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    if overlap:
        # In one piece: PyTorch cannot export sums of transposed tensors for any size.
        width = columns * side * channels
        x = ops.reshape(x, (batch * frames, rows, side, width))
        x = _add_overlap(x, overlap)
        height = batch * frames * rows * patch_size
        x = ops.reshape(x, (height, columns, side, channels))
        x = _add_overlap(x, overlap)
    return ops.reshape(
        x, (batch, frames, rows * patch_size, columns * patch_size, channels)
    )


def _add_overlap(x, overlap):
    """Crops a row of patches and adds the margins that its neighbours extend over it.

    Args:
        x: tensor of shape `(N, n, patch_size + 2 * overlap, ...)`, n patches in a row.
        overlap: int, in pixels.

    Returns:
        Tensor of shape `(N, n, patch_size, ...)`.
    """
    # The margins over the previous and over the next patch.
    before, after = x[:, :, :overlap], x[:, :, -overlap:]
    # Joined before it is cut: PyTorch exports no tensor of n - 1 patches.
    from_previous = ops.concatenate([after[:, :1], after], axis=1)[:, :-1]
    from_next = ops.concatenate([before, before[:, -1:]], axis=1)[:, 1:]
    parts = [
        x[:, :, overlap : 2 * overlap] + from_previous,
        x[:, :, -2 * overlap : -overlap] + from_next,
    ]
    # No neighbour reaches the middle, if there is one: exported formats take no empty
    # tensors.
    if x.shape[2] > 4 * overlap:
        parts.insert(1, x[:, :, 2 * overlap : -2 * overlap])
    return ops.concatenate(parts, axis=2)


@keras.saving.register_keras_serializable(package="keras_regen")
class Patchify(ConfiguredLayer):
    """`patchify` as a layer, without weights: pixels become channels.

    Args:
        patch_size: int. Side of a patch in pixels.
    """

    def __init__(self, patch_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size

    def call(self, video: Tensor) -> Tensor:
        return patchify(video, self.patch_size)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, frames, *sizes, channels = input_shape
        sizes = [None if size is None else size // self.patch_size for size in sizes]
        return (batch, frames, *sizes, channels * self.patch_size**2)


@keras.saving.register_keras_serializable(package="keras_regen")
class Unpatchify(ConfiguredLayer):
    """`unpatchify` as a layer, without weights: channels become pixels.

    Args:
        patch_size: int. Side of a patch in pixels.
    """

    def __init__(self, patch_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size

    def call(self, patches: Tensor) -> Tensor:
        return unpatchify(patches, self.patch_size)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, frames, *sizes, channels = input_shape
        sizes = [None if size is None else size * self.patch_size for size in sizes]
        return (batch, frames, *sizes, channels // self.patch_size**2)
