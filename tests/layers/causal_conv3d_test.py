import keras
import numpy as np
import pytest
from keras import ops

from keras_regen.layers import CausalConv3D
from tests.test_case import random


def same_padding(size, kernel_size, stride):
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 1, 1), (1, 2, 2), (2, 2, 2)])
@pytest.mark.parametrize("kernel_size", [(3, 3, 3), (1, 3, 3), (3, 1, 1), (2, 2, 1)])
@pytest.mark.parametrize("channels", [4, 40, 48])
def test_equals_a_padded_3d_convolution(channels, kernel_size, strides):
    layer = CausalConv3D(5, kernel_size, strides)
    x = random(2, 7, 8, 5, channels)
    layer.build(x.shape)
    layer.bias.assign(random(5, seed=1))
    output = layer(x)
    in_space = map(same_padding, x.shape[2:4], kernel_size[1:], strides[1:])
    padded = np.pad(x, [(0, 0), (kernel_size[0] - 1, 0), *in_space, (0, 0)])
    expected = ops.conv(
        padded,
        layer.kernel,
        strides=strides,
        padding="valid",
        data_format="channels_last",
    )
    expected = ops.convert_to_numpy(expected) + ops.convert_to_numpy(layer.bias)
    np.testing.assert_allclose(ops.convert_to_numpy(output), expected, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX alone")
@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize("kernel_size", [(3, 3, 3), (3, 1, 1)])
@pytest.mark.parametrize("filters", [40, 48])
def test_forms_for_accelerators_equal_that_for_cpus(
    monkeypatch, filters, kernel_size, strides
):
    layer = CausalConv3D(filters, kernel_size, strides)
    x = random(2, 7, 8, 5, 40)
    layer.build(x.shape)
    layer.bias.assign(random(filters, seed=1))
    expected = ops.convert_to_numpy(layer(x))
    for platform in ("gpu", "tpu"):
        monkeypatch.setattr("jax.default_backend", lambda p=platform: p)
        output = ops.convert_to_numpy(layer(x))
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_outputs_do_not_depend_on_later_frames():
    layer = CausalConv3D(4, (3, 3, 3))
    x = random(1, 6, 4, 4, 3)
    changed = x.copy()
    changed[:, 3:] = np.nan
    before, after = (ops.convert_to_numpy(layer(v)) for v in (x, changed))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.isnan(after[:, 3:]).all()


def test_a_kernel_size_of_two_numbers_is_refused():
    with pytest.raises(ValueError, match=r"tuples of 3 ints.*Received: kernel_size"):
        CausalConv3D(4, (3, 3))


AFTER = {
    "nothing": lambda x, y: y,
    "residual": lambda x, y: x + y,
    "activation": lambda x, y: ops.silu(y),
    "two_sums": lambda x, y: y + x + 2 * x,
    "scaled_sums": lambda x, y: 2 * y + x + ops.sin(x),
    "used_twice": lambda x, y: y * y + y + x + 2 * x,
}


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("shape", [(5, 8, 8, 40), (None, None, None, 40)])
@pytest.mark.parametrize("kernel_size", [(3, 3, 3), (1, 3, 3), (3, 1, 1), (1, 1, 1)])
def test_compiled_equals_its_layers(kernel_size, shape, after):
    # Compilers fuse padding, convolution, bias and the operations after them.
    inputs = keras.Input(shape)
    layer = CausalConv3D(40, kernel_size)
    model = keras.Model(inputs, AFTER[after](inputs, layer(inputs)))
    layer.bias.assign(random(40, seed=1))
    x = random(1, 5, 8, 8, 40)
    expected = ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(model.predict_on_batch(x), expected, atol=1e-5)
