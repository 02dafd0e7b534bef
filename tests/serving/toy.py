"""A tiny SavedModel with the signatures of an exported `Regen`.

    python -m tests.serving.toy DIRECTORY

Latents are means of 8x8 pixels, for frame 0 and for the frames after it. Decoding
repeats them. The seed and the steps make the video brighter, so that a lost input
shows.
"""

import pathlib
import sys

import tensorflow as tf

TEMPORAL_COMPRESSION = 8
MAX_STEPS = 32
CHANNELS = 8
SIDE = 8
WARMUP_SIZE = (16, 24)


def checked(tensor, *conditions):
    """Returns the tensor once all conditions hold: pairs of a bool and a message."""
    asserts = [tf.debugging.assert_equal(c, True, message) for c, message in conditions]
    with tf.control_dependencies(asserts):
        return tf.identity(tensor)


def encode(video):
    video = checked(
        video,
        (tf.reduce_all(tf.shape(video)[2:4] % SIDE == 0), "Sides: multiples of 8."),
        (tf.reduce_all(tf.math.is_finite(video)), "A video must be finite."),
    )
    shape = tf.shape(video)
    b, t, h, w = shape[0], shape[1], shape[2] // SIDE, shape[3] // SIDE
    means = tf.reduce_mean(tf.reshape(video, (b, t, h, SIDE, w, SIDE, 3)), (3, 5))
    channels = tf.tile(means, (1, 1, 1, 1, 3))[..., :CHANNELS]
    first, rest = channels[:, :1], channels[:, 1:]
    return tf.cond(
        t == 1,
        lambda: first,
        lambda: tf.concat([first, tf.reduce_mean(rest, 1, keepdims=True)], 1),
    )


def decode(latents, seed, num_steps, num_frames):
    latents = checked(
        latents,
        (tf.reduce_all(num_steps <= MAX_STEPS), f"At most {MAX_STEPS} steps."),
        (tf.reduce_all(num_frames > 0), "At least one frame."),
    )
    frames = tf.reduce_max(num_frames)
    colours = tf.repeat(tf.repeat(latents[..., :3], SIDE, 2), SIDE, 3)
    video = tf.concat(
        [colours[:, :1], tf.repeat(colours[:, -1:], tf.maximum(frames - 1, 0), 1)], 1
    )
    light = tf.cast(seed, tf.float32) / 100 + tf.cast(num_steps, tf.float32) / 100
    return video + tf.reshape(light, (-1, 1, 1, 1, 1))


def to_float(video):
    return tf.cast(video, tf.float32) / 127.5 - 1


def to_uint8(video):
    return tf.saturate_cast(tf.round((video + 1) * 127.5), tf.uint8)


def from_bytes(video_bytes, shape):
    shape = tf.reshape(shape, (-1, 4))[0]
    video = tf.io.decode_raw(video_bytes, tf.uint8)
    return to_float(tf.reshape(video, tf.concat([[-1], shape], 0)))


def to_bytes(video):
    shape = tf.shape(video)
    numbers = tf.cast(tf.reshape(to_uint8(video), (shape[0], -1)), tf.int32)
    characters = tf.gather([bytes([value]) for value in range(256)], numbers)
    return {
        "video_bytes": tf.strings.reduce_join(characters, -1),
        "shape": tf.repeat(shape[None, 1:], shape[0], 0),
    }


# The suffix of the signatures, the inputs, and functions that read and write a video.
FORMATS = {
    "": (
        [tf.TensorSpec([None] * 4 + [3], tf.float32, "video")],
        lambda video: video,
        lambda video: {"video": video},
    ),
    "_uint8": (
        [tf.TensorSpec([None] * 4 + [3], tf.uint8, "video")],
        to_float,
        lambda video: {"video": to_uint8(video)},
    ),
    "_bytes": (
        [
            tf.TensorSpec([None], tf.string, "video_bytes"),
            tf.TensorSpec(None, tf.int32, "shape"),
        ],
        from_bytes,
        to_bytes,
    ),
}
LATENTS = tf.TensorSpec([None] * 4 + [CHANNELS], tf.float32, "latents")
SEED = tf.TensorSpec(None, tf.int64, "seed")
NUM_STEPS = tf.TensorSpec(None, tf.int32, "num_steps")
NUM_FRAMES = tf.TensorSpec(None, tf.int32, "num_frames")


def signatures(suffix, specs, read, write):
    @tf.function(input_signature=specs, autograph=False)
    def encode_signature(*video):
        return {"latents": encode(read(*video))}

    @tf.function(
        input_signature=[LATENTS, SEED, NUM_STEPS, NUM_FRAMES], autograph=False
    )
    def decode_signature(*inputs):
        return write(decode(*inputs))

    @tf.function(input_signature=[*specs, SEED, NUM_STEPS], autograph=False)
    def reconstruct_signature(*inputs):
        *video, seed, num_steps = inputs
        video = read(*video)
        return write(decode(encode(video), seed, num_steps, tf.shape(video)[1]))

    return {
        f"encode{suffix}": encode_signature,
        f"decode{suffix}": decode_signature,
        f"reconstruct{suffix}": reconstruct_signature,
    }


def write_warmup(directory):
    """Writes one warm-up request that works."""
    from tensorflow_serving.apis import prediction_log_pb2

    video = tf.zeros((1, TEMPORAL_COMPRESSION + 1, *WARMUP_SIZE, 3))
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = "encode"
    request.inputs["video"].CopyFrom(tf.make_tensor_proto(video))
    path = pathlib.Path(directory) / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


def main():
    directory = sys.argv[1]
    functions = {}
    for suffix, form in FORMATS.items():
        functions |= signatures(suffix, *form)
    functions["serving_default"] = functions["encode"]
    module = tf.Module()
    module.functions = list(functions.values())
    tf.saved_model.save(module, directory, signatures=functions)
    write_warmup(directory)


if __name__ == "__main__":
    main()
