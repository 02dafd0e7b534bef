"""What mypy sees of the public functions. mypy checks this file; nothing runs it."""

import pathlib
from collections.abc import Iterator
from typing import assert_type

import numpy as np

import keras_regen as kr

regen = kr.Regen.from_preset("regen_small_8x8x8")
assert_type(regen, kr.Regen)
assert_type(regen.encoder, kr.VideoEncoder)
assert_type(regen.decoder, kr.DiTDecoder)
assert_type(kr.Regen.from_architecture("tiny", regularization="kl"), kr.Regen)
assert_type(kr.ConvAutoencoder.from_preset("mine").decoder, kr.ConvDecoder)
assert_type(kr.models.load_model("mine"), kr.Regen | kr.ConvAutoencoder)
generator = kr.generation.LatentDiffusion.from_preset("mine")
assert_type(generator, kr.generation.LatentDiffusion)

video = np.zeros((1, 9, 64, 64, 3), "uint8")
assert_type(regen.encode(video), np.ndarray)
assert_type(regen.decode(regen.encode(video), times=[0, 0.5]), np.ndarray)
assert_type(regen.reconstruct(video, num_steps=2), np.ndarray)

codec = kr.VideoCodec(regen, chunking="shared", max_memory="2GB")
latents = codec.encode(pathlib.Path("in.mp4"))
assert_type(latents, kr.Latents)
assert_type(latents[10:20], kr.Latents)
assert_type(kr.Latents.load("in.h5", lazy=True), kr.Latents)
assert_type(codec.decode(latents), np.ndarray)
assert_type(codec.decode("in.h5", "out.mp4", fps=60), pathlib.Path)
frames = codec.decode_stream(codec.encode_stream(iter(video[0])))
assert_type(frames, Iterator[np.ndarray])

clips = kr.data.VideoClips("videos/", num_frames=9, size=(128, 192), batch_size=8)
assert_type(clips[0], tuple[np.ndarray, ...])
assert_type(clips.skipped, dict[str, str])

path = kr.diffusion.get(kr.diffusion.Path, "cosine")
assert_type(path, kr.diffusion.Path)
assert_type(kr.metrics.psnr(video, video, per="clip"), np.ndarray)
assert_type(kr.metrics.frechet_video_distance(video, video), float)

# Wrong calls are errors: an ignored error that is none is an error of its own.
kr.Regen.from_architecture("huge")  # type: ignore[arg-type]
regen.decode(video, steps=4)  # type: ignore[call-arg]
kr.VideoCodec(regen, chunking="joint")  # type: ignore[arg-type]
kr.data.VideoClips("videos/", num_frames="9", size=64)  # type: ignore[arg-type]
