"""The forms in which served models take and return video."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from keras_regen.export.request_checks import checked


@dataclasses.dataclass(frozen=True)
class VideoFormat:
    """How a signature takes and returns a video.

    Args:
        specs: tuple of `tf.TensorSpec`, one for each input.
        read: callable `(checks, *inputs)` that returns a float32 video. `checks` are
            `RequestChecks`. The model checks the values of the video.
        write: callable `(video)` that returns a dict of outputs. The video is float32
            in [-1, 1].
    """

    specs: tuple
    read: Callable
    write: Callable


def _from_uint8(video):
    return tf.cast(video, tf.float32) / 127.5 - 1.0


def _to_uint8(video):
    return tf.cast(tf.round((video + 1.0) * 127.5), tf.uint8)


def _read_bytes(checks, video_bytes, shape):
    video_bytes = tf.reshape(video_bytes, [-1])
    shape = tf.reshape(shape, [-1, 4])
    shape = checked(
        shape,
        (
            tf.reduce_all(shape == shape[:1]),
            "All samples must have one shape. Received: shape=",
            shape,
        ),
    )
    whole = checks.video_shape(tf.concat([[tf.size(video_bytes)], shape[0]], 0))
    lengths = tf.strings.length(video_bytes)
    video_bytes = checked(
        video_bytes,
        (
            tf.reduce_all(lengths == tf.reduce_prod(whole[1:])),
            "`video_bytes` must have as many bytes as `shape` has values. "
            "Received: bytes, shape=",
            lengths,
            whole[1:],
        ),
    )
    return _from_uint8(tf.reshape(tf.io.decode_raw(video_bytes, tf.uint8), whole))


def _write_bytes(video):
    video = _to_uint8(video)
    shape = tf.shape(video)
    size = tf.reduce_prod(shape[1:])
    # A serialised tensor ends with its content.
    serialized = tf.map_fn(
        tf.io.serialize_tensor,
        video,
        fn_output_signature=tf.TensorSpec([], tf.string),
    )
    return {
        "video_bytes": tf.strings.substr(serialized, -size, size),
        "shape": tf.broadcast_to(shape[1:], [shape[0], 4]),
    }


def _video_spec(dtype):
    return tf.TensorSpec([None] * 4 + [3], dtype, name="video")


# The keys are the suffixes of the signatures' names.
VIDEO_FORMATS = {
    "": VideoFormat(
        specs=(_video_spec(tf.float32),),
        read=lambda checks, video: video,
        write=lambda video: {"video": video},
    ),
    "_uint8": VideoFormat(
        specs=(_video_spec(tf.uint8),),
        read=lambda checks, video: _from_uint8(video),
        write=lambda video: {"video": _to_uint8(video)},
    ),
    # For REST, which sends inputs named `*_bytes` in base64: a third of the size of
    # numbers in JSON.
    "_bytes": VideoFormat(
        specs=(
            tf.TensorSpec([None], tf.string, name="video_bytes"),
            tf.TensorSpec(None, tf.int32, name="shape"),
        ),
        read=_read_bytes,
        write=_write_bytes,
    ),
}
