"""How close a video is to its reference."""

import importlib

from keras_regen.metrics.frechet_distance import FeatureStatistics, frechet_distance
from keras_regen.metrics.psnr import psnr
from keras_regen.metrics.seam_ratio import seam_ratio
from keras_regen.metrics.ssim import ssim
from keras_regen.metrics.temporal_consistency import temporal_consistency

# What needs Keras, which importing this package does not import.
_KERAS = {
    "Features": "features",
    "FrechetVideoDistance": "video_distance",
    "I3D": "i3d",
    "I3DFeatures": "features",
    "KerasFeatures": "features",
    "PSNR": "keras_metrics",
    "SSIM": "keras_metrics",
    "STLPIPS": "st_lpips_distance",
    "SavedModelFeatures": "saved_model_features",
    "TemporalConsistency": "keras_metrics",
    "frechet_video_distance": "video_distance",
    "st_lpips": "st_lpips_distance",
}

__all__ = [
    *_KERAS,
    "FeatureStatistics",
    "frechet_distance",
    "psnr",
    "seam_ratio",
    "ssim",
    "temporal_consistency",
]


def __getattr__(name):
    if name in _KERAS:
        module = importlib.import_module(f"keras_regen.metrics.{_KERAS[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
