import numpy as np
import pytest

from keras_regen.evaluation.embedders import ZonalDct
from keras_regen.evaluation.embedders.zonal_dct import COLOUR, _dct_matrix
from keras_regen.metrics import psnr
from tests.evaluation.embedders.videos import Sized, noise, ramp

WHOLE_BLOCK = 8 * 8 * 3


@pytest.mark.parametrize("matrix", [COLOUR, _dct_matrix(8), _dct_matrix(9)])
def test_transforms_are_orthonormal(matrix):
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 17, 9), (9, 16, 16)])
def test_all_coefficients_are_the_video(shape):
    embedder = ZonalDct(Sized(10**6), num_frames=3)
    video = noise(*shape)
    reconstruction = embedder.reconstruct(video)
    np.testing.assert_array_equal(reconstruction.video, video)
    blocks = -(-shape[0] // 3) * -(-shape[1] // 8) * -(-shape[2] // 8)
    assert reconstruction.num_values == blocks * 3 * WHOLE_BLOCK


def test_one_coefficient_of_flat_blocks():
    # Each block is only its mean; grey needs one coefficient, not three.
    video = np.repeat(np.repeat(noise(2, 2, 3)[..., :1], 8, axis=1), 8, axis=2)
    video = np.repeat(video, 3, axis=-1)
    embedder = ZonalDct(Sized(12), num_frames=1)
    np.testing.assert_array_equal(embedder.reconstruct(video).video, video)


def test_incomplete_blocks_repeat_the_edge():
    video = np.full((3, 9, 17, 3), 40, "uint8")
    embedder = ZonalDct(Sized(12), num_frames=2)
    np.testing.assert_array_equal(embedder.reconstruct(video).video, video)


def test_the_zone_has_the_most_energy():
    x = np.cos(np.pi * 5 * (np.arange(8) + 0.5) / 8)
    column = np.rint(127.5 + 100 * x)[None, None, :, None]
    video = np.broadcast_to(column, (2, 8, 8, 3)).astype("uint8")
    embedder = ZonalDct(Sized(1), num_frames=2)
    np.testing.assert_allclose(embedder.reconstruct(video).video, video, atol=1)


@pytest.mark.parametrize("size", [0, 11, 12, 100, 10**4])
def test_never_more_than_the_match(size):
    embedder = ZonalDct(Sized(size), num_frames=2)
    reconstruction = embedder.reconstruct(noise(3, 10, 20))
    # 2 x 2 x 3 blocks.
    assert reconstruction.num_values == min(size // 12 * 12, 12 * 2 * WHOLE_BLOCK)
    assert reconstruction.num_values == embedder.num_values(3, 10, 20)
    assert reconstruction.num_bits == 16 * reconstruction.num_values


def test_exactly_as_many_where_energies_are_equal():
    embedder = ZonalDct(Sized(5), num_frames=1)
    zone = embedder._zone([np.zeros((1, 8, 8, 3), "uint8")], 5)
    assert zone.sum() == 5


def test_quality_grows_with_size():
    video = noise(4, 16, 16) // 8 + ramp(4, 16, 16) // 2
    scores = [
        psnr(video, ZonalDct(Sized(n), num_frames=4).reconstruct(video).video).mean()
        for n in (4, 16, 64, 256, 1024)
    ]
    assert scores == sorted(scores) and scores[-1] > scores[0] + 6


def test_errors():
    with pytest.raises(ValueError, match="at least 1.*Received: num_frames=0"):
        ZonalDct(Sized(1), num_frames=0)
