import concurrent.futures
from unittest import mock

import keras
import pytest
from keras import ops

from keras_regen.models import (
    ConvDecoder,
    build_model,
    costs,
    decoder_bytes,
    decoder_operations,
    encoder_bytes,
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

    # It does not count the operations of oneDNN and of fused attention on a CPU.
    with (
        mock.patch("keras_regen.layers.onednn.is_faster", return_value=False),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
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
    # The gradient of the video is not computed: the first layers cost less.
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


def chunk_bytes(name, k, rows, columns):
    """Bytes of the encoder, of the DiT decoder and of the convolutional decoder."""
    with keras.StatelessScope(initialize_variables=False):
        model, conventional = (build_model(name, k, kind) for kind in ("dit", "conv"))
    return (
        encoder_bytes(model.encoder, rows, columns),
        decoder_bytes(model.decoder, k + 1, rows, columns),
        decoder_bytes(conventional.decoder, k + 1, rows, columns),
    )


# Stored values: memory budgets and these decide how videos are cut into tiles.
BYTES = {
    ("tiny", 8, 8, 8): (12607488, 19464192, 13271040),
    ("tiny", 8, 32, 56): (353009664, 544997376, 371589120),
    ("tiny", 16, 8, 8): (23814144, 36765696, 27574272),
    ("tiny", 16, 32, 56): (666796032, 1029439488, 772079616),
    ("small", 8, 8, 8): (16146432, 26542080, 14598144),
    ("small", 8, 32, 56): (452100096, 743178240, 408748032),
    ("small", 16, 8, 8): (30498816, 50135040, 32587776),
    ("small", 16, 32, 56): (853966848, 1403781120, 912457728),
    ("base", 8, 8, 8): (58613760, 47775744, 31850496),
    ("base", 8, 32, 56): (1641185280, 1337720832, 891813888),
    ("base", 16, 8, 8): (110714880, 90243072, 60162048),
    ("base", 16, 32, 56): (3100016640, 2526806016, 1684537344),
}


@pytest.mark.parametrize("arguments", BYTES)
def test_bytes_steer_the_tiling(arguments, monkeypatch):
    monkeypatch.setattr(costs, "logits_held", lambda *args: 0)
    # Keras keeps uninitialised variables by thread.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        assert thread.submit(chunk_bytes, *arguments).result() == BYTES[arguments]


def test_the_logits_of_the_decoder_are_counted(monkeypatch):
    decoder = toy().decoder
    monkeypatch.setattr(costs, "logits_held", lambda *args: 0)
    without = decoder_bytes(decoder, 9, 4, 4)
    monkeypatch.setattr(costs, "logits_held", lambda *args: args[-1] ** 2)
    # Held twice, with four bytes each and a margin of 1.5.
    assert decoder_bytes(decoder, 9, 4, 4) == without + 12 * (9 * 4 * 4) ** 2


def test_bytes_grow_with_the_area():
    model = toy()
    assert encoder_bytes(model.encoder, 8, 8) == 4 * encoder_bytes(model.encoder, 4, 4)
    small, large = (decoder_bytes(model.decoder, 9, n, n) for n in (4, 8))
    assert large >= 4 * small
