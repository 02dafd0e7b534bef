import keras
import pytest
from keras import ops

from keras_regen.models import (
    ConvDecoder,
    decoder_operations,
    encoder_operations,
    training_operations,
)
from keras_regen.models.costs import keys_per_query
from tests.benchmark.toys import K, toy

SHAPE = (2, K + 1, 16, 24)
ENCODERS = {
    "plain": {"stem_patch_size": 1, "num_blocks": (1,)},
    "widths, a stem of patches and the factorised block": {
        "stem_patch_size": 2,
        "num_blocks": (1,),
        "widths": (8, 16),
        "kernel_sizes": ((1, 3, 3), (3, 1, 1)),
    },
}
DECODERS = {
    "plain": {},
    "mixing": {"mixing_size": 3, "mlp_ratio": 2, "depth": 2},
    "in context": {"conditioning": "in_context"},
}
only_torch = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="PyTorch counts operations"
)


def counted(function):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # The fused attention of CPUs is not counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def decoder_inputs():
    batch, frames, height, width = SHAPE
    return {
        "video": ops.ones((*SHAPE, 3)),
        "timestep": ops.ones((batch,)),
        "latents": ops.ones((batch, 2, height // 8, width // 8, 8)),
        "times": ops.ones((batch, frames)),
    }


@only_torch
@pytest.mark.parametrize("config", ENCODERS.values(), ids=ENCODERS)
def test_encoder(config):
    encoder = toy(encoder=config).encoder
    expected = counted(lambda: encoder(ops.ones((*SHAPE, 3))))
    assert encoder_operations(encoder, SHAPE) == expected


@only_torch
@pytest.mark.parametrize("config", DECODERS.values(), ids=DECODERS)
def test_decoder(config):
    decoder = toy(decoder=config).decoder
    expected = counted(lambda: decoder(decoder_inputs()))
    assert decoder_operations(decoder, SHAPE) == expected


@only_torch
def test_conventional_decoder():
    decoder = ConvDecoder(K, widths=(8, 16), num_blocks=(1,))
    expected = counted(lambda: decoder(decoder_inputs()["latents"]))
    assert decoder_operations(decoder, SHAPE) == expected


@only_torch
def test_training():
    model = toy(encoder=ENCODERS["plain"])
    model.compile(optimizer=keras.optimizers.SGD())
    video = ops.zeros((*SHAPE, 3))
    expected = counted(lambda: model.train_on_batch(video))
    # No gradient of the video is computed: the first layers take less on the way back.
    assert training_operations(model, SHAPE) == pytest.approx(expected, rel=0.1)


def test_a_window_bounds_the_keys():
    assert keys_per_query((9, 16, 16)) == 9 * 16 * 16
    assert keys_per_query((8, 16, 4), (4, 8, 8)) == 4 * 8 * 4
    assert keys_per_query((9, 16, 4), (None, 8, 8)) == 9 * 8 * 4
    # Windows of 4, 4 and 1; shifted, of 2, 4 and 3.
    assert keys_per_query((9, 1, 1), (4, 1, 1)) == pytest.approx(33 / 9)
    assert keys_per_query((9, 1, 1), (4, 1, 1), True) == pytest.approx(29 / 9)


@only_torch
def test_windows():
    decoder = toy(decoder={"window": (2, 1, 2)}).decoder
    expected = counted(lambda: decoder(decoder_inputs()))
    assert decoder_operations(decoder, SHAPE) == expected
