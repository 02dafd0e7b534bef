"""Generation of videos as latents."""

from keras_regen.generation.generation_defaults import GenerationDefaults
from keras_regen.generation.given_frames import GivenFrames
from keras_regen.generation.latent_diffusion import LatentDiffusion
from keras_regen.generation.latent_transformer import TRANSFORMERS, LatentTransformer
from keras_regen.generation.video_generator import VideoGenerator

__all__ = [
    "TRANSFORMERS",
    "GenerationDefaults",
    "GivenFrames",
    "LatentDiffusion",
    "LatentTransformer",
    "VideoGenerator",
]
