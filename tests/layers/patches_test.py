import numpy as np
from keras import ops

from keras_regen.layers import patchify, unpatchify
from tests.test_case import random


def test_round_trip_is_exact():
    video = random(2, 3, 16, 24, 3)
    patches = patchify(video, 8)
    assert tuple(patches.shape) == (2, 3, 2, 3, 192)
    np.testing.assert_array_equal(ops.convert_to_numpy(unpatchify(patches, 8)), video)


def test_a_patch_is_a_square_of_pixels():
    video = random(1, 2, 16, 24, 3)
    patches = ops.convert_to_numpy(patchify(video, 8))
    np.testing.assert_array_equal(
        patches[0, 1, 1, 2].reshape(8, 8, 3), video[0, 1, 8:16, 16:24]
    )
