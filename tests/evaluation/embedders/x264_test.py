import av
import numpy as np
import pytest

from keras_regen.evaluation.embedders import X264
from keras_regen.evaluation.embedders.x264 import _encode, _num_bits, to_planes
from keras_regen.metrics import psnr
from tests.evaluation.embedders.videos import Sized, ramp
from tests.video.videos import CLIP, read

VIDEO = read(CLIP)[:8, :64, :64]


def encode(video, crf):
    return _encode([*map(to_planes, video)], video.shape[1:3], crf)


def test_as_many_bits_as_the_match():
    for num_values in (200, 900, 3000):
        reconstruction = X264(Sized(num_values)).reconstruct(VIDEO)
        assert 0.95 * 16 * num_values < reconstruction.num_bits <= 16 * num_values
        assert reconstruction.video.shape == VIDEO.shape
        assert reconstruction.num_values is None


def test_bits_of_tokens():
    match = Sized(1000)
    match.bits_per_value = 10
    assert 9500 < X264(match).reconstruct(VIDEO).num_bits <= 10000


def test_the_match_has_latents():
    with pytest.raises(ValueError, match="must have latents.*named x264"):
        X264(X264(Sized(1))).reconstruct(VIDEO)


def test_quality_grows_with_size():
    scores = [
        psnr(VIDEO, X264(Sized(n)).reconstruct(VIDEO).video).mean()
        for n in (200, 900, 3000)
    ]
    assert scores == sorted(scores) and scores[-1] > scores[0] + 3


def test_the_lowest_quality_may_exceed_the_match():
    reconstruction = X264(Sized(1)).reconstruct(VIDEO)
    assert reconstruction.num_bits == _num_bits(encode(VIDEO, 51)) > 16
    assert reconstruction.video.shape == VIDEO.shape


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2), (5, 7, 18)])
def test_any_size(shape):
    video = ramp(*shape)
    embedder = X264(Sized(10**6))
    reconstruction = embedder.reconstruct(video)
    assert reconstruction.video.shape == video.shape
    # Lossless except for rounding and, with even sides, chroma.
    difference = np.abs(reconstruction.video.astype(int) - video)
    assert difference.max() <= 3
    assert embedder.num_values(*shape) is None


def test_frames_keep_their_order():
    video = ramp(8, 48, 64)
    decoded = X264(Sized(1000)).reconstruct(video).video
    brightness = decoded[..., 0].mean(axis=(1, 2))
    np.testing.assert_allclose(brightness, video[..., 0].mean(axis=(1, 2)), atol=1)


@pytest.mark.parametrize(
    ("shape", "pixel_format"), [((1, 8, 8), "yuv420p"), ((1, 9, 8), "yuv444p")]
)
def test_stream(shape, pixel_format):
    packets = encode(ramp(*shape), 20)
    assert b"x264" not in packets[0]
    context = av.CodecContext.create("h264", "r")
    frames = [*context.decode(av.Packet(packets[0])), *context.decode(None)]
    assert frames[0].format.name == pixel_format
    tags = (context.colorspace, context.color_primaries, context.color_trc)
    assert tags == (1, 1, 1) and context.color_range == 1


def test_it_repeats():
    first, second = (X264(Sized(500)).reconstruct(VIDEO) for _ in range(2))
    assert first.num_bits == second.num_bits
    np.testing.assert_array_equal(first.video, second.video)
