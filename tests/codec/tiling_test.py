import numpy as np
import pytest

from keras_regen.codec.tiling import Tiling


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 7, 16, 17, 29, 90])
@pytest.mark.parametrize(("size", "overlap"), [(4, 2), (16, 2), (12, 4)])
def test_weights_sum_to_one(rows, size, overlap):
    columns = 23
    tiling = Tiling(rows, columns, size, overlap)
    assert tiling.tile_rows <= min(rows, size)
    assert tiling.tile_columns <= size
    total = np.zeros((8 * rows, 8 * columns))
    for (row, column), (down, across) in zip(
        tiling.corners, tiling.weights(8), strict=True
    ):
        weight = down * across
        assert weight.shape == (8 * tiling.tile_rows, 8 * tiling.tile_columns)
        area = total[8 * row : 8 * row + len(weight), 8 * column :]
        area[:, : weight.shape[1]] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_frame_that_fits_is_one_tile():
    tiling = Tiling(16, 12, size=16, overlap=2)
    assert tiling.corners == [(0, 0)] and len(tiling) == 1
    assert (tiling.tile_rows, tiling.tile_columns) == (16, 12)
    ((down, across),) = tiling.weights(8)
    assert np.all(down == 1) and np.all(across == 1)


def test_few_and_equal_tiles():
    tiling = Tiling(17, 160, size=16, overlap=2)
    # 17 rows are two tiles of 10, not one of 16 and a bit.
    assert tiling.tile_rows == 10
    starts = sorted({column for _, column in tiling.corners})
    assert len(starts) == 12
    assert np.all(tiling.tile_columns - np.diff(starts) >= 2)


def test_tiles_have_equal_weight_in_the_middle_of_their_overlap():
    tiling = Tiling(16, 29, size=16, overlap=2)
    (_, first), (_, second) = tiling.corners
    line = 8 * (first + tiling.tile_columns + second) // 2
    left, right = (across[0] for _, across in tiling.weights(8))
    right = np.concatenate([np.zeros(8 * 13), right])
    assert left[line - 1] > right[line - 1]
    assert left[line] < right[line]
