"""Patches of a video as tokens, and back."""

from keras import ops


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


def unpatchify(patches, patch_size):
    """The inverse of `patchify`.

    Args:
        patches: tensor of shape `(B, F, h, w, patch_size**2 * C)`.
        patch_size: int, in pixels.

    Returns:
        Tensor of shape `(B, F, h * patch_size, w * patch_size, C)`.
    """
    batch, frames, rows, columns, features = ops.shape(patches)
    channels = features // patch_size**2
    x = ops.reshape(
        patches,
        (batch * frames, rows, columns, patch_size, patch_size * channels),
    )
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    return ops.reshape(
        x, (batch, frames, rows * patch_size, columns * patch_size, channels)
    )
