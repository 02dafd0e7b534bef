"""Encode a chunk of video, and decode it with one and with four sampling steps."""

import itertools

import numpy as np

from keras_regen import Regen
from keras_regen.metrics import psnr
from keras_regen.video import VideoReader, VideoWriter, bundled_clip

regen = Regen.from_preset("regen_small_8x8x8")

# The first chunk, k + 1 frames, cropped to 128x128 pixels in the centre.
with VideoReader(bundled_clip()) as reader:
    fps = reader.fps
    frames = list(itertools.islice(reader, regen.temporal_compression + 1))
video = np.stack(frames)[:, 56:184, 148:276]

latents = regen.encode(video[None])
print(f"video {video.shape} -> latents {latents.shape[1:]}")

decoded = []
for num_steps in (1, 4):
    (frames,) = regen.decode(latents, num_steps=num_steps, dtype="uint8")
    print(f"num_steps={num_steps}: PSNR {psnr(video, frames).mean():.2f} dB")
    decoded.append(frames)

# From left to right: the original, one step, four steps.
with VideoWriter("reconstruct.mp4", fps) as writer:
    for frame in np.concatenate([video, *decoded], axis=2):
        writer.write(frame)
print("reconstruct.mp4")
