import keras
import numpy as np
import pytest
from keras import ops

from keras_regen import VideoCodec
from keras_regen.models import (
    ConvAutoencoder,
    ConvDecoder,
    Regen,
    VideoEncoder,
    load_model,
)
from tests.models.conftest import make_regen
from tests.test_case import random

SMALL = {
    "stem_patch_size": 4,
    "widths": (8,),
    "num_blocks": (1,),
    "kernel_sizes": ((1, 3, 3), (3, 1, 1)),
}


def make_model(k=4, dtype=None):
    keras.utils.set_random_seed(0)
    return ConvAutoencoder(
        VideoEncoder(k, **SMALL, dtype=dtype, name="encoder"),
        ConvDecoder(k, **SMALL, dtype=dtype, name="decoder"),
    )


@pytest.fixture
def model():
    return make_model()


def test_from_architecture():
    model = ConvAutoencoder.from_architecture("tiny", 4)
    regen = Regen.from_architecture("tiny", 4)
    assert model.encoder.count_params() == regen.encoder.count_params()
    ours, theirs = model.decoder.count_params(), regen.decoder.count_params()
    assert ours == pytest.approx(theirs, rel=0.01)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_it_learns(dtype):
    model = make_model(dtype=dtype)
    model.compile(keras.optimizers.Adam(3e-3, use_ema=True, ema_momentum=0.5))
    clips = np.repeat(random(4, 1, 1, 1, 3), 5, axis=1) * np.ones((1, 1, 16, 16, 1))
    clips = clips.astype("float32")
    history = model.fit(clips, batch_size=2, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
    # The state after one fit must not break the next.
    model.fit(clips, batch_size=2, verbose=0)


def test_the_loss_is_the_mean_squared_error(model):
    model.compile()
    clips = random(2, 5, 16, 16, 3)
    raw = ops.convert_to_numpy(model.decoder(model.encoder(clips)))
    errors = np.square(raw - clips).mean(axis=(1, 2, 3, 4))
    assert model.evaluate(clips, verbose=0) == pytest.approx(errors.mean(), rel=1e-5)
    x = ops.convert_to_tensor(clips)
    weighted = model.compute_loss(
        x=x, y_pred=model(x), sample_weight=np.array([1.0, 0.0]), training=False
    )
    weighted = ops.convert_to_numpy(weighted)
    levels = np.rint((clips + 1) * 127.5).astype("uint8")
    assert model.train_on_batch(levels) == pytest.approx(errors.mean(), rel=0.02)
    assert weighted == pytest.approx(errors[0] / 2, rel=1e-5)


def test_images(model):
    model.compile(keras.optimizers.SGD(1e-3))
    model.fit(random(2, 1, 16, 16, 3), verbose=0)
    assert model.reconstruct(random(2, 1, 16, 24, 3)).shape == (2, 1, 16, 24, 3)


def test_what_a_chunk_decodes_to(model):
    clips = np.random.default_rng(0).integers(0, 256, (2, 5, 16, 16, 3)).astype("uint8")
    decoded = model.reconstruct(clips)
    assert decoded.shape == clips.shape and decoded.dtype == "uint8"
    np.testing.assert_array_equal(
        decoded, model.reconstruct(clips, num_steps=4, seed=3)
    )


def test_margins_are_refused(model):
    model.compile(keras.optimizers.SGD(1e-3))
    with pytest.raises(ValueError, match="the frames of the chunk alone"):
        model.fit(random(2, 5, 16, 16, 3), random(2, 9, 16, 16, 3), verbose=0)


@pytest.mark.parametrize("times", [[0, 0.5], [-1, 0, 1, 2, 3], [0, 1, 2, 3]])
def test_other_times_are_refused(model, times):
    with pytest.raises(ValueError, match="the times 0 to 4. Received: times="):
        model.decode(random(1, 2, 2, 2, 8), times=times)


def test_presets(model, tmp_path):
    model.save_to_preset(tmp_path / "preset", {"description": "a toy"})
    loaded = load_model(tmp_path / "preset", temporal_compression=4)
    assert type(loaded) is ConvAutoencoder
    clips = random(1, 5, 16, 16, 3)
    np.testing.assert_array_equal(loaded.reconstruct(clips), model.reconstruct(clips))
    with pytest.raises(ValueError, match="of a `Regen`. Received: .*`ConvAutoencoder`"):
        Regen.from_preset(tmp_path / "preset")
    make_regen().save_to_preset(tmp_path / "regen")
    assert type(load_model(tmp_path / "regen")) is Regen


def test_keras_format(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    clips = random(1, 5, 8, 8, 3)
    np.testing.assert_array_equal(loaded.reconstruct(clips), model.reconstruct(clips))


class TestVideoCodec:
    def test_whole_videos(self, model):
        video = random(12, 19, 35, 3)
        codec = VideoCodec(model, tile_size=32)
        decoded = codec.decode(codec.encode(video))
        assert decoded.shape == video.shape
        np.testing.assert_array_equal(decoded, codec.decode(codec.encode(video)))

    def test_chunks_are_decoded_one_by_one(self, model):
        video = random(10, 16, 16, 3)
        codec = VideoCodec(model)
        chunks = video.reshape(2, 5, 16, 16, 3)
        np.testing.assert_allclose(
            codec.decode(codec.encode(video)),
            model.reconstruct(chunks).reshape(video.shape),
            atol=1e-5,
        )

    def test_it_does_not_extrapolate(self, model):
        with pytest.raises(ValueError, match="must be 0. Received: blend_frames=1"):
            VideoCodec(model, blend_frames=1)

    def test_memory_is_counted(self, model):
        with pytest.raises(ValueError, match=r"max_memory=1e-05 GB"):
            codec = VideoCodec(model, max_memory=10_000)
            codec.decode(VideoCodec(model).encode(random(5, 64, 64, 3)))
