import pathlib

import keras
import numpy as np
import pytest

from keras_regen import VideoCodec
from tests.models.conftest import make_regen

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="these checks compute with NumPy"
)
CHUNK = (1, 5, 16, 16, 3)


def random(low, high):
    return np.random.default_rng(0).uniform(low, high, CHUNK).astype("float32")


class TestWholeVideosAreForTheCodec:
    @pytest.mark.parametrize(
        "video", ["in.mp4", pathlib.Path("in.mp4"), iter(()), None]
    )
    def test_videos(self, regen, video):
        for method in (regen.encode, regen.reconstruct):
            with pytest.raises(
                ValueError, match=r"use `keras_regen.VideoCodec.*video="
            ):
                method(video)

    def test_latents(self, regen):
        latents = VideoCodec(regen).encode(np.zeros(CHUNK[1:], "uint8"))
        for given in (latents, "in.h5"):
            with pytest.raises(ValueError, match=r"VideoCodec.*Received: latents="):
                regen.decode(given)

    def test_lists_are_arrays(self, regen):
        video = np.zeros(CHUNK, "uint8")
        np.testing.assert_array_equal(regen.encode([*video]), regen.encode(video))


class TestVideosFromZeroToOne:
    @pytest.fixture(params=["regen", "codec"])
    def encode(self, request, regen):
        if request.param == "regen":
            return regen.encode
        codec = VideoCodec(regen)
        return lambda video: codec.encode(video[0])

    def test_one_warning(self, encode):
        with pytest.warns(UserWarning, match=r"expected in \[-1, 1\]") as caught:
            encode(random(0, 1))
        assert [w.category for w in caught].count(UserWarning) == 1
        encode(random(0, 1))

    def test_the_warning_names_the_line_of_the_caller(self, regen):
        with pytest.warns(UserWarning) as caught:
            regen.encode(random(0, 1))
        # It is not compiled.
        with pytest.warns(UserWarning) as training, pytest.raises(ValueError):
            make_regen().fit(random(0, 1))
        for warned in (caught, training):
            files = [w.filename for w in warned if w.category is UserWarning]
            assert files == [__file__]

    def test_after_another_video_bright_ones_are_known(self, encode):
        encode(random(-1, 1))
        encode(random(0, 1))

    def test_after_a_black_video_bright_ones_are_known(self, encode):
        encode(np.full(CHUNK, -1, "float32"))
        encode(random(0, 1))

    @pytest.mark.parametrize("level", [0, 0.5])
    def test_constant_videos_say_nothing(self, encode, level):
        encode(np.full(CHUNK, level, "float32"))
        with pytest.warns(UserWarning):
            encode(random(0, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r, z: r.decode(z, steps=4), "did you mean `num_steps`"),
        (lambda r, z: r.decode(z, frames=4), "did you mean `num_frames`"),
        (lambda r, z: r.encode(z, foo=4), r"it has video. Received: foo=4"),
        (lambda r, z: r.reconstruct(z, n_steps=4), "did you mean `num_steps`"),
        (lambda r, z: r.save_to_preset(z, meta=4), "did you mean `metadata`"),
        (lambda r, z: r.from_preset("x", k=4), "did you mean `temporal_compression`"),
        (lambda r, z: r.from_architecture("tiny", k=4), "did you mean `temporal_comp"),
        (lambda r, z: VideoCodec(r).decode(z, steps=4), "did you mean `num_steps`"),
        (lambda r, z: VideoCodec(r).encode(z, out="a"), "did you mean `output`"),
        (lambda r, z: VideoCodec(r).decode_stream(z, step=1), "did you mean `"),
    ],
)
def test_near_names_of_arguments(regen, call, message):
    with pytest.raises(TypeError, match=message):
        call(regen, None)
