import av
import numpy as np
import pytest

from keras_regen.evaluation.embedders.x264 import to_planes, to_rgb
from tests.evaluation.embedders.videos import noise, ramp


def test_colours_by_hand():
    # Black, white and the primary colours, from ITU-R BT.709-6, table 4.
    colours = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)]
    expected = [(16, 128, 128), (235, 128, 128), (63, 102, 240), (32, 240, 118)]
    planes = to_planes(np.array([colours], "uint8"))
    np.testing.assert_array_equal(planes[:, 0].T, expected)


def test_agrees_with_ffmpeg():
    (frame,) = noise(1, 9, 16)
    theirs = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
        format="yuv444p", dst_colorspace="ITU709", dst_color_range="MPEG"
    )
    difference = to_planes(frame).astype(int) - theirs.to_ndarray()
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (9, 16), (8, 16)])
def test_round_trip_of_smooth_colours(shape):
    (frame,) = ramp(1, *shape)
    difference = to_rgb(to_planes(frame)).astype(int) - frame
    assert np.abs(difference).max() <= 3
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.6


def test_half_resolution_chroma_is_the_mean():
    (frame,) = noise(1, 8, 16)
    planes = to_planes(frame)
    assert planes.shape == (12, 16)
    full = to_planes(np.pad(frame, [(0, 1), (0, 0), (0, 0)]))[:, :8]
    np.testing.assert_array_equal(planes[:8], full[0])
    means = full[1].reshape(4, 2, 8, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(planes[8:10].reshape(4, 8), means, atol=1)
