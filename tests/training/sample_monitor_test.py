import io

import imageio.v3 as iio
import keras
import numpy as np
import pytest

from keras_regen.metrics import psnr
from keras_regen.training import SampleMonitor, averaged_weights
from tests.models.conftest import awaken, make_regen
from tests.models.regen_test import moving_squares


def clips(count=3):
    return np.rint((moving_squares(count) + 1) * 127.5).astype("uint8")


def events(directory):
    """Returns the steps and values in TensorBoard's log, by name."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    found = {}
    for path in sorted(directory.iterdir()):
        data = path.read_bytes()
        while data:
            # A record has a length, an event, and a checksum of each.
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            if event.session_log.status == SessionLog.START:
                found.setdefault("start", []).append((event.step, None))
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
            data = data[16 + length :]
    return found


def test_what_is_logged(tmp_path):
    keras.utils.set_random_seed(0)
    regen = awaken(make_regen())
    regen.compile(keras.optimizers.SGD(0.0))
    monitor = SampleMonitor(tmp_path, clips(), batch_size=2, step=10)
    record = []
    regen.fit(
        moving_squares(8),
        batch_size=4,
        epochs=2,
        verbose=0,
        callbacks=[
            monitor,
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: record.append(dict(logs))
            ),
        ],
    )
    expected = psnr(clips(), regen.reconstruct(clips())).mean()
    times = [0.0625 + i / 8 for i in range(8)]
    for logs in record:
        np.testing.assert_allclose(logs["psnr"], expected, rtol=1e-5)
        for t in times:
            (losses,) = regen.denoising_losses(clips(), [t])
            np.testing.assert_allclose(
                logs[f"loss_at_{t:.2f}"], losses.mean(), rtol=1e-4
            )
    shown = events(tmp_path)
    assert [step for step, _ in shown["psnr"]] == [12, 14]
    # TensorBoard hides what was logged before at the step of a start, and later.
    assert [step for step, _ in shown["start"]] == [11]
    assert {"loss", "loss_at_0.06", "clip_2", "image_0"} <= set(shown)
    _, value = shown["clip_1"][-1]
    clip = iio.imread(io.BytesIO(value.image.encoded_image_string), index=None)
    assert clip.shape[:3] == (5, 16, 32)
    # The original, with the colours of a GIF.
    assert psnr(clip[..., :16, :3], clips()[1]).min() > 25
    _, value = shown["image_1"][-1]
    still = iio.imread(io.BytesIO(value.image.encoded_image_string))
    np.testing.assert_array_equal(still[:, :16], clips()[1, 0])
    np.testing.assert_array_equal(
        still[:, 16:], regen.reconstruct(clips()[:, :1])[1, 0]
    )


def test_averaged_weights_are_restored():
    regen = awaken(make_regen())
    regen.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9))
    seen = {}

    def look(epoch, logs):
        average = regen.optimizer._model_variables_moving_average[0].numpy()
        variable = regen.trainable_variables[0]
        seen["before"] = variable.numpy().copy()
        with averaged_weights(regen):
            np.testing.assert_array_equal(variable.numpy(), average)
        seen["after"] = variable.numpy().copy()
        assert np.any(average != seen["before"])

    regen.fit(
        moving_squares(8),
        batch_size=4,
        verbose=0,
        # The second epoch continues with the restored weights.
        epochs=2,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=look)],
    )
    np.testing.assert_array_equal(seen["before"], seen["after"])


def test_loss_at_one_time_is_the_training_loss():
    regen = awaken(make_regen(weighting="sample"))
    video = moving_squares(2)
    # At t = 0 the decoder gets the clip itself, without noise.
    output = regen.decoder.predict_on_batch(
        {
            "video": video,
            "timestep": np.zeros(2, "float32"),
            "latents": regen.encode(video),
            "times": np.tile(np.arange(5, dtype="float32"), (2, 1)),
        }
    )
    expected = np.mean((output - video) ** 2, axis=(1, 2, 3, 4))
    np.testing.assert_allclose(
        regen.denoising_losses(video, [0.0])[0], expected, rtol=1e-4
    )


@pytest.mark.parametrize("bad", [np.zeros((0, 5, 16, 16, 3), "uint8"), np.ones((1, 5))])
def test_bad_clips(tmp_path, bad):
    with pytest.raises(ValueError, match="Received: shape"):
        SampleMonitor(tmp_path, bad)
