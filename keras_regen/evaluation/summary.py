"""Summaries of the scores of clips, as rows of a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_regen.metrics import FEW_CLIPS, FeatureStatistics

SCORES = ("psnr", "ssim", "temporal_consistency", "st_lpips")


def summarize(
    parts: Sequence[dict[str, Any]], features: str | None = None
) -> dict[str, Any]:
    """Returns the row of an embedder, over all clips of all videos.

    Args:
        parts: list of dict from `ScoreStore.read`, one for each video.
        features: str or None. The name of the network of the features.

    Returns:
        Dict: `num_videos` and `num_clips`; `num_frames`, `height` and `width` of a
        clip, or pairs of the minimum and maximum if clips differ; the means of the
        scores over all clips; `bits_per_pixel` and `compression`, pixel values for each
        latent value (None without latents), over all clips together;
        `seconds_per_frame`, the median over clips; and, with features,
        `frechet_video_distance`, a dict of its `value`, of `features`, `num_clips` and
        `is_biased`.
    """
    clips = [clip for part in parts for clip in part["clips"]]
    row = {"num_videos": len(parts), **_summary(clips)}
    if features is not None and clips:
        row["frechet_video_distance"] = _distance(parts, features)
    return row


def summarize_video(embedder: str, video: str, part: dict[str, Any]) -> dict[str, Any]:
    """Returns the row of one video, with its clips and without the distance."""
    return {
        "embedder": embedder,
        "video": video,
        **_summary(part["clips"]),
        "clips": part["clips"],
    }


def _summary(clips):
    if not clips:
        return {"num_clips": 0}
    column = {name: [clip.get(name) for clip in clips] for name in clips[0]}
    pixels = sum(c["num_frames"] * c["height"] * c["width"] for c in clips)
    values = None
    if None not in column["num_values"]:
        values = 3 * pixels / sum(column["num_values"])
    seconds = np.divide(column["seconds"], column["num_frames"])
    return {
        "num_clips": len(clips),
        **{k: _extent(column[k]) for k in ("num_frames", "height", "width")},
        # A clip of one frame has no temporal consistency.
        **{
            k: float(np.mean([x for x in column[k] if x is not None]))
            for k in SCORES
            if any(x is not None for x in column.get(k, []))
        },
        "bits_per_pixel": sum(column["num_bits"]) / pixels,
        "compression": values,
        "seconds_per_frame": float(np.median(seconds)),
    }


def _extent(values):
    low, high = min(values), max(values)
    return low if low == high else [low, high]


def _distance(parts, features):
    statistics = []
    for name in ("reference_features", "features"):
        total = FeatureStatistics(parts[0][name].shape[1])
        for part in parts:
            total.update(part[name])
        statistics.append(total)
    reference, ours = statistics
    count = ours.count
    return {
        "value": reference.distance(ours) if count > 1 else None,
        "features": features,
        "num_clips": count,
        "is_biased": count < FEW_CLIPS,
    }
