"""Generation of videos as latents."""

from keras_regen.generation.given_frames import GivenFrames
from keras_regen.generation.latent_diffusion import LatentDiffusion
from keras_regen.generation.latent_transformer import TRANSFORMERS, LatentTransformer

__all__ = ["TRANSFORMERS", "GivenFrames", "LatentDiffusion", "LatentTransformer"]
