"""How close a video is to its reference."""

from keras_regen.metrics.psnr import psnr
from keras_regen.metrics.ssim import ssim

__all__ = ["psnr", "ssim"]
