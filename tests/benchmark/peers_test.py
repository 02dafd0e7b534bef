import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from keras_regen import hardware  # noqa: E402
from keras_regen.benchmark import PEERS  # noqa: E402
from keras_regen.benchmark.peers import MODELS, Peer  # noqa: E402
from tests.evaluation.embedders.toys import WAN  # noqa: E402

# Millions of parameters of encoder and decoder, as published.
PUBLISHED = {
    "cosmos": (43, 63),
    "ltx": (180, 239),
    "wan": (54, 73),
    "cogvideox": (92, 123),
}


def test_there_is_a_model_for_each_peer():
    assert tuple(MODELS) == PEERS


@pytest.mark.parametrize("name", MODELS)
def test_the_configurations_are_the_published_ones(name):
    import diffusers

    # Imported outside, or constants of its module would have no values on that device.
    build = getattr(diffusers, MODELS[name][1])
    with torch.device("meta"):
        module = build()
    counts = [
        sum(p.numel() for p in part.parameters())
        for part in (module.encoder, module.decoder)
    ]
    assert tuple(round(count / 1e6) for count in counts) == PUBLISHED[name]


def test_work():
    peer = Peer("wan", "float32", **WAN)
    shape = (1, 5, 16, 16)
    assert peer.takes(*shape[1:])
    assert not peer.takes(6, 16, 16)
    for case in ("encode", "decode"):
        work = peer.work(case, shape)
        with FlopCounterMode(display=False) as counter:
            work.function()
        # Operations of fused attention are not counted on CPUs.
        assert counter.get_total_flops() == pytest.approx(work.operations, rel=0.02)


def test_it_is_where_our_models_are(monkeypatch):
    if hardware.on_accelerator():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # Its weights could not be put on a GPU here.
    assert Peer("wan", **WAN).module.device.type == "cpu"


def test_half_precision():
    peer = Peer("wan", "mixed_bfloat16", **WAN)
    assert peer.module.dtype == torch.bfloat16
    peer.work("decode", (1, 5, 16, 16)).function()
    assert sum(peer.parameters()) > 0
