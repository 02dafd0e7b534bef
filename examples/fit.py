"""Train a small model on random clips of one video, and save it as a preset."""

# First, since it chooses an installed backend for Keras.
from keras_regen import DiTDecoder, Regen, VideoEncoder
from keras_regen.video import VideoReader, bundled_clip

# isort: split
import keras
import numpy as np

K, SIZE = 4, 32

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def random_clips(video, count):
    """Cuts random uint8 clips of K + 1 frames and SIZE x SIZE pixels."""
    ends = np.subtract(video.shape[:3], (K, SIZE - 1, SIZE - 1))
    corners = rng.integers(ends, size=(count, 3))
    return np.stack(
        [video[t : t + K + 1, y : y + SIZE, x : x + SIZE] for t, y, x in corners]
    )


# The last half second is held out.
with VideoReader(bundled_clip()) as reader:
    video = np.stack(list(reader))
training, validation = random_clips(video[:-12], 256), random_clips(video[-12:], 64)

regen = Regen(
    VideoEncoder(K, stem_patch_size=8, widths=(32, 64), num_blocks=(1,)),
    DiTDecoder(K, units=64, depth=2, num_heads=2),
)
regen.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.95))

print(f"loss before: {regen.evaluate(validation, batch_size=16, verbose=0):.3f}")
regen.fit(training, batch_size=16, epochs=3, verbose=2)
print(f"loss after: {regen.evaluate(validation, batch_size=16, verbose=0):.3f}")

regen.save_to_preset("my_preset", metadata={"description": "Trained on one clip"})
print("my_preset")
