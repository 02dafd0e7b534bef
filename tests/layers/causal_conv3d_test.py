import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.layers import CausalConv3D
from tests.test_case import random


@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 1, 1), (1, 2, 2), (2, 2, 2)])
def test_equals_a_padded_3d_convolution(strides):
    layer = CausalConv3D(5, (3, 3, 3), strides)
    x = random(2, 7, 8, 8, 4)
    output = layer(x)
    padded = np.pad(x, [(0, 0), (2, 0), (0, 0), (0, 0), (0, 0)])
    # "same" in space is (1, 1) at stride 1 and (0, 1) at stride 2 for even sizes.
    before = 1 if strides[1] == 1 else 0
    padded = np.pad(padded, [(0, 0), (0, 0), (before, 1), (before, 1), (0, 0)])
    expected = keras.ops.conv(
        padded,
        layer.kernel,
        strides=strides,
        padding="valid",
        data_format="channels_last",
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(output), ops.convert_to_numpy(expected), atol=1e-5
    )


def test_past_does_not_see_the_future():
    layer = CausalConv3D(4, (3, 3, 3))
    x = random(1, 6, 4, 4, 3)
    changed = x.copy()
    changed[:, 3:] = np.nan
    before, after = (ops.convert_to_numpy(layer(v)) for v in (x, changed))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.isnan(after[:, 3:]).all()


def test_kernel_of_two_sizes_is_refused():
    with pytest.raises(ValueError, match=r"tuples of 3 ints.*Received: kernel_size"):
        CausalConv3D(4, (3, 3))
