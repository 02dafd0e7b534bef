"""How close a video is to its reference."""

from keras_regen.metrics.psnr import psnr
from keras_regen.metrics.seam_ratio import seam_ratio
from keras_regen.metrics.ssim import ssim

__all__ = ["psnr", "seam_ratio", "ssim"]
