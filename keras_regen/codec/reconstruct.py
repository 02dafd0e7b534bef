"""Re-generating whole videos chunk by chunk."""

import dataclasses
import itertools

import numpy as np

from keras_regen.models.video_encoder import SPATIAL_COMPRESSION


@dataclasses.dataclass(frozen=True)
class Compression:
    """How many numbers a video is, before and after encoding.

    Args:
        latent_values: int. Numbers in the latents of all chunks, padding included.
        pixel_values: int. Numbers in the frames: 3 a pixel.
    """

    latent_values: int
    pixel_values: int

    @property
    def ratio(self):
        """Pixel values for one latent value."""
        return self.pixel_values / self.latent_values


def compression(regen, num_frames, height, width):
    """Counts what `reconstruct_frames` encodes.

    Args:
        regen: a `Regen`.
        num_frames: int, at least 1.
        height: int, at least 1. Rows of a frame.
        width: int, at least 1. Columns of a frame.

    Returns:
        A `Compression`.

    Example:

    >>> regen = keras_regen.Regen.from_architecture("tiny", temporal_compression=4)
    >>> compression(regen, num_frames=10, height=16, width=24)
    Compression(latent_values=192, pixel_values=11520)
    """
    chunks = -(-num_frames // (regen.temporal_compression + 1))
    rows, columns = -(-height // SPATIAL_COMPRESSION), -(-width // SPATIAL_COMPRESSION)
    return Compression(
        latent_values=chunks * 2 * rows * columns * regen.encoder.latent_channels,
        pixel_values=num_frames * height * width * 3,
    )


def reconstruct_frames(regen, frames, num_steps=1, seed=0):
    """Re-generates a video of any length and size, in constant memory.

    The frames are taken k + 1 at a time. The last chunk is filled up with its last
    frame and the sides with their edges, up to multiples of 8; all of that is cropped
    away again, so every frame comes back in its own size. Each chunk sees its own
    stretch of one noise canvas.

    Args:
        regen: a `Regen`.
        frames: iterable of uint8 arrays of shape `(H, W, 3)`, one or more.
        num_steps: int. Sampling steps. Defaults to `1`.
        seed: int. Seed of the noise canvas. Defaults to `0`.

    Returns:
        Iterator of pairs `(original, regenerated)`, in the order of the frames, both
        uint8 of shape `(H, W, 3)`.

    Raises:
        ValueError: when it gets there: if there are no frames, one is not as above, or
            one is of another size than the first.

    Example:

    >>> regen = keras_regen.Regen.from_architecture("tiny", temporal_compression=4)
    >>> video = np.zeros((7, 17, 9, 3), "uint8")
    >>> pairs = list(reconstruct_frames(regen, video))
    >>> len(pairs), pairs[-1][1].shape
    (7, (17, 9, 3))
    """
    frames = _checked(frames)
    chunk_size = regen.temporal_compression + 1
    start = 0
    while originals := list(itertools.islice(frames, chunk_size)):
        height, width, _ = originals[0].shape
        chunk = np.pad(
            np.stack(originals),
            (
                (0, chunk_size - len(originals)),
                (0, -height % SPATIAL_COMPRESSION),
                (0, -width % SPATIAL_COMPRESSION),
                (0, 0),
            ),
            mode="edge",
        )
        (video,) = regen.reconstruct(
            chunk[None], num_steps=num_steps, seed=seed, origin=(start, 0, 0)
        )
        yield from zip(originals, video[:, :height, :width], strict=False)
        start += len(originals)


def _checked(frames):
    """Passes on the frames that are as they must be."""
    shape = None
    for number, frame in enumerate(frames):
        frame = np.asarray(frame)
        if (
            frame.dtype != "uint8"
            or frame.ndim != 3
            or frame.shape[-1] != 3
            or 0 in frame.shape
        ):
            raise ValueError(
                "A frame must be a uint8 array of shape (H, W, 3). Received: frame "
                f"{number} with dtype={frame.dtype}, shape={frame.shape}"
            )
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(
                f"Every frame must have the shape of the first, {shape}. "
                f"Received: frame {number} with shape={frame.shape}"
            )
        yield frame
    if shape is None:
        raise ValueError("A video must have at least one frame. Received: no frames")
