"""Encode a whole video to a file, and decode a second of it in slow motion."""

from keras_regen import Latents, Regen, VideoCodec
from keras_regen.video import bundled_clip

codec = VideoCodec(Regen.from_preset("regen_small_8x8x8"))

# Videos may have any length and size. The latents store both.
latents = codec.encode(bundled_clip())
latents.save("bunny.h5")
print(f"{len(latents)} frames -> {latents.num_chunks} chunks, {latents.array.shape}")

# The first second, at a quarter of the speed: three new frames between two.
second = Latents.load("bunny.h5")[:24]
codec.decode(
    second,
    "slow_second.mp4",
    speed=0.25,
    progress=lambda done, total: print(f"\r{done}/{total}", end=""),
)
print("\nslow_second.mp4")
