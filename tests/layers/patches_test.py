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


def test_patches_that_overlap_are_added():
    patches = random(1, 2, 3, 2, 12 * 12 * 3)
    squares = patches.reshape(2, 3, 2, 12, 12, 3)
    # Patches at the border are repeated outside of it.
    squares = np.pad(squares, [(0, 0), (1, 1), (1, 1), *[(0, 0)] * 3], mode="edge")
    expected = np.zeros((2, 5 * 8 + 4, 4 * 8 + 4, 3), "float32")
    for row in range(5):
        for column in range(4):
            rows, columns = (
                slice(8 * row, 8 * row + 12),
                slice(8 * column, 8 * column + 12),
            )
            expected[:, rows, columns] += squares[:, row, column]
    video = ops.convert_to_numpy(unpatchify(patches, 8, overlap=2))
    np.testing.assert_allclose(video[0], expected[:, 10:34, 10:26], atol=1e-6)
