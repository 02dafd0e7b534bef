"""Decode one chunk at times between its frames, for slow motion."""

import itertools

import numpy as np

from keras_regen import Regen
from keras_regen.video import VideoReader, VideoWriter, bundled_clip

SLOWER = 4

regen = Regen.from_preset("regen_small_8x8x8")
k = regen.temporal_compression

with VideoReader(bundled_clip()) as reader:
    fps = reader.fps
    video = np.stack(list(itertools.islice(reader, k + 1)))[:, 72:168, 164:260]
latents = regen.encode(video[None])

# Times are in frames after the first one: 0, 1/4, 1/2, 3/4, 1, ... k.
outputs = {
    "normal_motion.mp4": np.linspace(0, k, k + 1),
    "slow_motion.mp4": np.linspace(0, k, SLOWER * k + 1),
}
for path, times in outputs.items():
    (frames,) = regen.decode(latents, times=times, dtype="uint8")
    with VideoWriter(path, fps) as writer:
        for frame in frames:
            writer.write(frame)
    print(f"{path}: {len(frames)} frames from the same latents")
