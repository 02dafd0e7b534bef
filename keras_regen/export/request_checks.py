"""Input checks inside the graph of a served model.

A server has no other line of defence. A failed check returns an error status that says
what was expected and received, before anything is computed.
"""

import dataclasses

import tensorflow as tf

from keras_regen.models import MAX_LATENT
from keras_regen.pixels import SPATIAL_COMPRESSION


@dataclasses.dataclass(frozen=True)
class RequestChecks:
    """Checks the inputs of each signature.

    Args:
        temporal_compression: int, k.
        latent_channels: int, C.
        max_steps: int. The maximum number of sampling steps of a request.
        max_pixels: int. The maximum number of pixels of a request, `B * T * H * W`.
    """

    temporal_compression: int
    latent_channels: int
    max_steps: int
    max_pixels: int

    def video_shape(self, shape):
        """Checks the shape of a video.

        Args:
            shape: int tensor of shape `(5,)`: `(B, T, H, W, 3)`.

        Returns:
            The shape, an int32 tensor.
        """
        k, side = self.temporal_compression, SPATIAL_COMPRESSION
        shape = tf.cast(shape, tf.int64)
        _, frames, height, width, channels = tf.unstack(shape)
        shape = checked(
            shape,
            (
                tf.reduce_all(shape > 0),
                "A video must not be empty. Received: video.shape=",
                shape,
            ),
            (channels == 3, "A video must be RGB. Received: video.shape=", shape),
            (
                (frames == 1) | (frames == k + 1),
                f"A chunk has k + 1 = {k + 1} frames, or 1 for an image. "
                "Received: video.shape=",
                shape,
            ),
            (
                (height % side == 0) & (width % side == 0),
                f"Height and width must be multiples of {side}. Received: video.shape=",
                shape,
            ),
        )
        return tf.cast(self.bounded(shape, shape[:4]), tf.int32)

    def video(self, video):
        """Returns a float video, after checking its shape and values."""
        # Some servers do not check the ranks of inputs.
        video = tf.ensure_shape(video, [None] * 5)
        with tf.control_dependencies([self.video_shape(tf.shape(video))]):
            inside = tf.reduce_all((video >= -1.001) & (video <= 1.001))
        return checked(
            tf.ensure_shape(video, [None] * 4 + [3]),
            (
                inside,
                "A float video must be finite and in [-1, 1]. "
                "Received: values outside [-1, 1] or NaN",
            ),
        )

    def latents(self, latents, num_frames):
        """Checks latents and the number of frames to decode.

        Args:
            latents: float tensor.
            num_frames: int32 tensor, a scalar, or one number for each sample, all of
                them equal.

        Returns:
            The latents, and an int32 scalar.
        """
        channels = self.latent_channels
        latents = tf.ensure_shape(latents, [None] * 5)
        shape = tf.shape(latents, tf.int64)
        num_frames = self.per_sample("num_frames", num_frames, shape[0])
        first = tf.cast(num_frames[0], tf.int64)
        latents = checked(
            latents,
            (
                tf.reduce_all(shape > 0),
                "Latents must not be empty. Received: latents.shape=",
                shape,
            ),
            (
                (shape[1] <= 2) & (shape[4] == channels),
                f"Latents must have shape (B, 2, h, w, {channels}), or "
                f"(B, 1, h, w, {channels}) for images. Received: latents.shape=",
                shape,
            ),
            (
                tf.reduce_all(tf.math.is_finite(latents)),
                "Latents must be finite. Received: NaN or infinite values",
            ),
            (
                tf.reduce_all(tf.abs(latents) <= MAX_LATENT),
                f"Latents must be at most {MAX_LATENT:g} in magnitude. "
                "Received: a magnitude of",
                tf.reduce_max(tf.abs(latents)),
            ),
            (
                tf.reduce_all(num_frames == num_frames[0]) & (first >= 1),
                "`num_frames` must be at least 1, and the same for all samples. "
                "Received: num_frames=",
                num_frames,
            ),
        )
        area = SPATIAL_COMPRESSION**2
        latents = self.bounded(latents, shape[0], first, shape[2], shape[3], area)
        # Nothing may be computed from it before it is known to be small.
        with tf.control_dependencies([latents]):
            num_frames = tf.identity(num_frames[0])
        return tf.ensure_shape(latents, [None] * 4 + [channels]), num_frames

    def num_steps(self, num_steps, batch):
        """Returns the checked number of steps, int32 of shape `(B,)`."""
        num_steps = self.per_sample("num_steps", num_steps, batch)
        return tf.broadcast_to(
            checked(
                num_steps,
                (
                    tf.reduce_all((num_steps >= 1) & (num_steps <= self.max_steps)),
                    f"`num_steps` must be 1 to {self.max_steps}. Received: num_steps=",
                    num_steps,
                ),
            ),
            [batch],
        )

    def seed(self, seed, batch):
        """Returns the checked seed, int64 of shape `(1,)` or `(B,)`."""
        seed = self.per_sample("seed", seed, batch)
        return checked(
            seed,
            (
                tf.reduce_all(seed >= 0),
                "`seed` must be at least 0. Received: seed=",
                seed,
            ),
        )

    def per_sample(self, name, value, batch):
        """Returns the value in the shape `(1,)` or `(B,)`, checked to have its size."""
        size = tf.size(value, tf.int64)
        return checked(
            tf.reshape(value, [-1]),
            (
                (tf.rank(value) <= 1)
                & ((size == 1) | (size == tf.cast(batch, tf.int64))),
                f"`{name}` must be a number, or one for each sample. "
                f"Received: {name}.shape=",
                tf.shape(value),
            ),
        )

    def bounded(self, tensor, *sizes):
        """Returns the tensor, if the sizes multiply to at most `max_pixels`."""
        # Unlike integers, floating point does not wrap around.
        sizes = [tf.reshape(tf.cast(size, tf.float64), [-1]) for size in sizes]
        pixels = tf.reduce_prod(tf.concat(sizes, 0))
        return checked(
            tensor,
            (
                pixels <= self.max_pixels,
                f"A request may have at most {self.max_pixels} pixels, over all frames "
                "and samples. Received: pixels=",
                pixels,
            ),
        )


def checked(tensor, *conditions):
    """Returns the tensor once all conditions hold.

    They are checked in order, so that the first failure is the one reported.

    Args:
        tensor: tensor.
        *conditions: tuples `(condition, message, *values)`.
    """
    for condition, *message in conditions:
        with tf.control_dependencies([tensor]):
            check = tf.debugging.Assert(condition, message)
        with tf.control_dependencies([check]):
            tensor = tf.identity(tensor)
    return tensor
