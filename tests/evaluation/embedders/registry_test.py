import subprocess
import sys

import pytest

from keras_regen.evaluation.embedders import (
    X264,
    VideoCodecEmbedder,
    ZonalDct,
    load_embedder,
    registry,
)
from tests.evaluation.embedders.videos import Sized, noise
from tests.models.conftest import awaken, make_regen


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("presets") / "toy"
    awaken(make_regen(4)).save_to_preset(directory)
    return directory


def test_preset(preset):
    embedder = load_embedder(
        str(preset), steps=2, seed=3, max_memory="1GB", device="cuda"
    )
    assert isinstance(embedder, VideoCodecEmbedder)
    assert embedder.name == "toy"
    assert (embedder.num_steps, embedder.seed) == (2, 3)
    assert embedder.codec.max_memory == 10**9
    video = noise(3, 9, 8)
    assert embedder.reconstruct(video).video.shape == video.shape


def test_anchors():
    match = Sized(1000)
    dct = load_embedder("dct", match, num_frames=5, steps=4)
    assert isinstance(dct, ZonalDct)
    assert (dct.match, dct.num_frames) == (match, 5)
    x264 = load_embedder("x264", match=match)
    assert isinstance(x264, X264) and x264.match is match


@pytest.mark.parametrize(
    ("spec", "cls", "arguments"),
    [
        ("diffusers:user/name/vae", "DiffusersEmbedder", ("user/name/vae",)),
        ("vidtok:a/b.yaml,c:d.ckpt", "VidTokEmbedder", ("a/b.yaml", "c:d.ckpt")),
        ("wfvae:models/wf", "WFVAEEmbedder", ("models/wf",)),
        ("omnitokenizer:k600.ckpt", "OmniTokenizerEmbedder", ("k600.ckpt",)),
    ],
)
def test_peers(monkeypatch, spec, cls, arguments):
    calls = []
    monkeypatch.setattr(registry, cls, lambda *a, **k: calls.append((a, k)))
    load_embedder(spec, steps=3, chunk_frames=17, torch_dtype="bfloat16", device="cpu")
    options = {"chunk_frames": 17, "torch_dtype": "bfloat16", "device": "cpu"}
    assert calls == [(arguments, options)]


@pytest.mark.parametrize(
    "spec", ["", "nonsense", "diffusers:", "vidtok:a.yaml", "vidtok:,b", "vtok:a,b"]
)
def test_other_specifications_list_the_forms(spec):
    with pytest.raises(ValueError, match="preset.*vidtok:CONFIG,CHECKPOINT.*x264") as e:
        load_embedder(spec)
    assert f"Received: {spec!r}" in str(e.value)


@pytest.mark.parametrize("spec", ["dct", "x264"])
def test_anchors_need_a_match(spec):
    with pytest.raises(ValueError, match=f"{spec} needs .*Received: match=None"):
        load_embedder(spec)


def test_importing_it_imports_no_framework():
    code = "import sys, keras_regen.evaluation.embedders as e; " + (
        "assert not {'keras', 'torch', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
