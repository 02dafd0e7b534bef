import io
import types

import imageio.v3 as iio
import keras
import numpy as np
import pytest
import rich.console

from keras_regen.training import plot_history, progress
from keras_regen.training.progress import Progress


@pytest.mark.parametrize("steps", [100, None])
def test_without_a_terminal_lines_come_every_ten_seconds(monkeypatch, steps):
    now = 0.0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    console = rich.console.Console(file=io.StringIO(), width=80)
    shown = Progress(steps, batch_size=2, console=console)
    optimizer = types.SimpleNamespace(learning_rate=keras.ops.ones(()))
    shown.set_model(types.SimpleNamespace(optimizer=optimizer))
    shown.on_train_begin()
    shown.on_epoch_begin(0)
    for batch in range(10):
        now += 4
        shown.on_train_batch_end(batch, {"loss": 0.5})
    shown.on_epoch_end(0, {"loss": 0.5})
    total, left = ("/100", ", 0:06:24 left") if steps else ("", "")
    lines = console.file.getvalue().splitlines()
    assert lines[0] == f"step 4{total}, loss 0.5000, 0.5 samples/s{left}"
    at = [line.partition(",")[0] for line in lines]
    assert at == [f"step {n}{total}" for n in (4, 7, 10, 10)]


def test_plot(tmp_path):
    history = [
        {"loss": 0.5, "psnr": 12.0, "loss_at_0.06": 0.4, "loss_at_0.94": 0.9},
        {"loss": float("nan"), "psnr": 13.0, "loss_at_0.06": 0.3, "loss_at_0.94": 0.8},
    ]
    plot_history(history, 10, tmp_path / "plot.png")
    picture = iio.imread(tmp_path / "plot.png")
    assert picture.shape[1] > 1000 and np.ptp(picture) > 200
