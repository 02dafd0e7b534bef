"""Compare the bundled preset with classical codecs of the same size.

The plot needs matplotlib: `pip install keras-regen[train]`.
"""

from keras_regen.evaluation import (
    Evaluation,
    get_protocol,
    open_dataset,
    plot_rate_distortion,
)
from keras_regen.evaluation.embedders import X264, ZonalDct, load_embedder
from keras_regen.video import bundled_clip

regen = load_embedder("regen_small_8x8x8")
embedders = [regen, ZonalDct(regen, num_frames=9), X264(regen)]

# VidTok's protocol, on smaller frames.
protocol = get_protocol("vidtok").override(size=128)
data = open_dataset(bundled_clip())

evaluation = Evaluation(embedders, data, protocol, "evaluation.json", max_clips=2)
report = evaluation.report()
for row in report["embedders"]:
    print(
        f"{row['embedder']}: {row['psnr']:.2f} dB, SSIM {row['ssim']:.3f}, "
        f"{row['bits_per_pixel']:.3f} bits per pixel"
    )
plot_rate_distortion(report["embedders"], "evaluation.png")
