import numpy as np
import pytest
from keras import ops

from keras_regen.layers import DepthwiseMixing, DiTBlock
from tests.test_case import random


def test_zero_initialisation_is_the_identity():
    x = random(2, 3, 4, 4, 16)
    output = DiTBlock(16, 2, mixing_size=3)(x, random(2, 16))
    np.testing.assert_array_equal(ops.convert_to_numpy(output), x)


def awake(block, x, conditioning):
    """Opens the gates of a block; returns it as a function of the tokens."""
    block(x, conditioning)
    block.modulation.kernel.assign(random(*block.modulation.kernel.shape) * 0.5)
    return lambda tokens: ops.convert_to_numpy(block(tokens, conditioning))


def test_attention_knows_no_position():
    x, conditioning = random(1, 2, 3, 4, 16), random(1, 16)
    call = awake(DiTBlock(16, 2), x, conditioning)
    order = np.random.default_rng(0).permutation(24)
    shuffled = x.reshape(1, 24, 16)[:, order].reshape(x.shape)
    expected = call(x).reshape(1, 24, 16)[:, order].reshape(x.shape)
    np.testing.assert_allclose(call(shuffled), expected, atol=1e-5)


def test_every_token_attends_to_every_token():
    x, conditioning = random(1, 2, 3, 4, 16), random(1, 16)
    call = awake(DiTBlock(16, 2), x, conditioning)
    changed = x.copy()
    # Half of the channels: the norm would subtract a change of all of them.
    changed[0, 0, 0, 0, :8] += 1
    assert (np.abs(call(changed) - call(x)).max(axis=-1) > 1e-7).all()


@pytest.mark.parametrize(("shifted", "seen"), [(False, 2), (True, 1)])
def test_a_token_attends_to_its_window(shifted, seen):
    x, conditioning = random(1, 2, 3, 4, 16), random(1, 16)
    block = DiTBlock(16, 2, window=(None, None, 2), shifted=shifted)
    call = awake(block, x, conditioning)
    changed = x.copy()
    changed[0, 0, 0, 0, :8] += 1
    moved = np.abs(call(changed) - call(x)).max(axis=-1) > 1e-7
    assert moved[..., :seen].all() and not moved[..., seen:].any()


def test_samples_do_not_mix():
    x, conditioning = random(2, 2, 3, 4, 16), random(2, 16)
    call = awake(DiTBlock(16, 2, mixing_size=3), x, conditioning)
    changed = x.copy()
    changed[0] += 1
    np.testing.assert_array_equal(call(changed)[1], call(x)[1])


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="Received: units=16, num_heads=3"):
        DiTBlock(16, 3)


def test_mixing_is_a_depthwise_convolution_plus_the_input():
    layer, x = DepthwiseMixing(3), random(1, 2, 5, 6, 4)
    layer(x)
    kernel = random(3, 3, 4)
    layer.kernel.assign(kernel)
    expected = ops.depthwise_conv(
        x[0], kernel[..., None], padding="same", data_format="channels_last"
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x))[0],
        x[0] + ops.convert_to_numpy(expected),
        atol=1e-5,
    )


def test_mixing_window_must_be_odd():
    with pytest.raises(ValueError, match="Received: size=2"):
        DepthwiseMixing(2)
