import imageio.v3 as iio
import numpy as np

from keras_regen.training import plot_history


def test_plot(tmp_path):
    history = [
        {"loss": 0.5, "psnr": 12.0, "loss_at_0.06": 0.4, "loss_at_0.94": 0.9},
        {"loss": float("nan"), "psnr": 13.0, "loss_at_0.06": 0.3, "loss_at_0.94": 0.8},
    ]
    plot_history(history, 10, tmp_path / "plot.png")
    picture = iio.imread(tmp_path / "plot.png")
    assert picture.shape[1] > 1000 and np.ptp(picture) > 200
