"""Metrics: how close a video is to its reference."""

from typing import TYPE_CHECKING

from keras_regen.lazy import lazy_exports
from keras_regen.metrics.frechet_distance import (
    FEW_CLIPS,
    FeatureStatistics,
    frechet_distance,
)
from keras_regen.metrics.metric_weights import METRIC_WEIGHTS
from keras_regen.metrics.numpy_metrics import (
    psnr,
    seam_ratio,
    ssim,
    temporal_consistency,
)

if TYPE_CHECKING:
    from keras_regen.metrics.features import Features, I3DFeatures, KerasFeatures
    from keras_regen.metrics.i3d import I3D
    from keras_regen.metrics.keras_metrics import PSNR, SSIM, TemporalConsistency
    from keras_regen.metrics.saved_model_features import SavedModelFeatures
    from keras_regen.metrics.st_lpips_distance import STLPIPS, st_lpips
    from keras_regen.metrics.st_lpips_network import MIN_SIDES
    from keras_regen.metrics.video_distance import (
        FrechetVideoDistance,
        frechet_video_distance,
    )
    from keras_regen.metrics.video_swin_features import VideoSwinFeatures
    from keras_regen.metrics.weight_conversion import prepare_metric_weights

__all__ = [
    "FEW_CLIPS",
    "I3D",
    "METRIC_WEIGHTS",
    "MIN_SIDES",
    "PSNR",
    "SSIM",
    "STLPIPS",
    "FeatureStatistics",
    "Features",
    "FrechetVideoDistance",
    "I3DFeatures",
    "KerasFeatures",
    "SavedModelFeatures",
    "TemporalConsistency",
    "VideoSwinFeatures",
    "frechet_distance",
    "frechet_video_distance",
    "prepare_metric_weights",
    "psnr",
    "seam_ratio",
    "ssim",
    "st_lpips",
    "temporal_consistency",
]

# These need Keras, which importing this package does not import.
__getattr__, __dir__ = lazy_exports(
    __name__,
    __all__,
    {
        "Features": "features",
        "I3DFeatures": "features",
        "KerasFeatures": "features",
        "I3D": "i3d",
        "PSNR": "keras_metrics",
        "SSIM": "keras_metrics",
        "TemporalConsistency": "keras_metrics",
        "SavedModelFeatures": "saved_model_features",
        "MIN_SIDES": "st_lpips_network",
        "STLPIPS": "st_lpips_distance",
        "st_lpips": "st_lpips_distance",
        "FrechetVideoDistance": "video_distance",
        "frechet_video_distance": "video_distance",
        "VideoSwinFeatures": "video_swin_features",
        "prepare_metric_weights": "weight_conversion",
    },
)
