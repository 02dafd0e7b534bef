"""How close a video is to its reference."""

import importlib

from keras_regen.metrics.psnr import psnr
from keras_regen.metrics.seam_ratio import seam_ratio
from keras_regen.metrics.ssim import ssim
from keras_regen.metrics.temporal_consistency import temporal_consistency

# What needs Keras, which importing this package does not import.
_KERAS = {
    "FrechetVideoDistance": "frechet_video_distance",
    "I3DFeatures": "features",
    "Features": "features",
    "KerasFeatures": "features",
    "PSNR": "keras_metrics",
    "SSIM": "keras_metrics",
    "STLPIPS": "st_lpips",
    "SavedModelFeatures": "saved_model_features",
    "TemporalConsistency": "keras_metrics",
    "frechet_video_distance": "frechet_video_distance",
    "st_lpips": "st_lpips",
}

__all__ = [*_KERAS, "psnr", "seam_ratio", "ssim", "temporal_consistency"]


def __getattr__(name):
    if name in _KERAS:
        module = importlib.import_module(f"keras_regen.metrics.{_KERAS[name]}")
        # In the place of a module of the same name, which the import leaves here.
        globals()[name] = getattr(module, name)
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
