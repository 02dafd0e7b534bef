"""Train a classifier in tf_keras, which is Keras 2, on the latents of an export.

    pip install keras-regen[serving] tf-keras
    keras-regen export regen_small_8x8x8 -o serving/1
    python examples/tf_keras_head.py serving/1 8

The 8 is the preset's k. `keras.layers.TFSMLayer` does the same in Keras 3.
"""

import sys

import numpy as np
import tensorflow as tf
import tf_keras

from keras_regen.video import VideoReader, bundled_clip

path, k = sys.argv[1], int(sys.argv[2])
SIZE = 32

rng = np.random.default_rng(0)
tf_keras.utils.set_random_seed(0)


class Encoder(tf_keras.layers.Layer):
    """The encoder of a SavedModel, which is not trained any further."""

    def __init__(self, path):
        super().__init__(trainable=False)
        self.served = tf.saved_model.load(path)

    def call(self, video):
        return self.served.encode(video)


def random_clips(name, count):
    """Cuts random clips of k + 1 frames and SIZE x SIZE pixels, in [-1, 1]."""
    with VideoReader(bundled_clip(name)) as reader:
        video = np.stack(list(reader)) / np.float32(127.5) - 1
    ends = np.subtract(video.shape[:3], (k, SIZE - 1, SIZE - 1))
    corners = rng.integers(ends, size=(count, 3))
    return np.stack(
        [video[t : t + k + 1, y : y + SIZE, x : x + SIZE] for t, y, x in corners]
    )


# Which of the two bundled clips is it?
clips = np.concatenate([random_clips("bunny", 128), random_clips("steel", 128)])
labels = np.repeat([0, 1], 128)
order = rng.permutation(256)
clips, labels = clips[order], labels[order]

video = tf_keras.Input((k + 1, SIZE, SIZE, 3))
latents = Encoder(path)(video)
outputs = tf_keras.layers.Dense(1)(tf_keras.layers.Flatten()(latents))
model = tf_keras.Model(video, outputs)
model.compile(
    tf_keras.optimizers.Adam(1e-2),
    tf_keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[tf_keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
)
model.fit(
    clips[:192],
    labels[:192],
    batch_size=4,
    epochs=5,
    validation_data=(clips[192:], labels[192:]),
    validation_batch_size=4,
    verbose=2,
)
