import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from keras_regen.evaluation.embedders import DiffusersEmbedder  # noqa: E402
from keras_regen.evaluation.embedders.diffusers_embedder import FAMILIES  # noqa: E402
from tests.evaluation.embedders.toys import WAN  # noqa: E402
from tests.evaluation.embedders.videos import noise  # noqa: E402

WIDTHS = {
    "block_out_channels": (4, 4, 4, 4),
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 2,
}
LTX = {
    "latent_channels": 8,
    "block_out_channels": (4, 4, 4, 4),
    "decoder_block_out_channels": (4, 4, 4, 4),
    "layers_per_block": (1,) * 5,
    "decoder_layers_per_block": (1,) * 5,
}
# The name of each, its class, configuration and true compression in time and space.
MODELS = {
    "cogvideox": (
        "AutoencoderKLCogVideoX",
        {
            **WIDTHS,
            "down_block_types": ("CogVideoXDownBlock3D",) * 4,
            "up_block_types": ("CogVideoXUpBlock3D",) * 4,
        },
        (4, 8),
    ),
    "hunyuan": ("AutoencoderKLHunyuanVideo", WIDTHS, (4, 8)),
    "wan2.1": ("AutoencoderKLWan", WAN, (4, 8)),
    "wan2.2": (
        "AutoencoderKLWan",
        {
            **WAN,
            "patch_size": 2,
            "in_channels": 12,
            "out_channels": 12,
            "is_residual": True,
            "scale_factor_spatial": 16,
        },
        (4, 16),
    ),
    "ltx": ("AutoencoderKLLTXVideo", LTX, (8, 32)),
    "ltx0.9.1": (
        "AutoencoderKLLTXVideo",
        {
            **LTX,
            "timestep_conditioning": True,
            "decoder_inject_noise": (True, True, True, True, False),
        },
        (8, 32),
    ),
    "cosmos": (
        "AutoencoderKLCosmos",
        {
            "latent_channels": 4,
            "encoder_block_out_channels": (4, 4, 4, 4),
            "decode_block_out_channels": (4, 4, 4, 4),
            "num_layers": 1,
            "attention_resolutions": (),
            "resolution": 64,
        },
        (8, 8),
    ),
    "easyanimate": ("AutoencoderKLMagvit", WIDTHS, (4, 8)),
}


def make_model(name):
    torch.manual_seed(0)
    family, config, _ = MODELS[name]
    model = getattr(diffusers, family)(**config).eval()
    for name, parameter in model.named_parameters():
        # The strength of injected noise, which is zero at first.
        if name.endswith(("per_channel_scale1", "per_channel_scale2")):
            torch.nn.init.ones_(parameter)
    return model


def test_every_family_is_tested():
    assert {family for family, _, _ in MODELS.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", MODELS)
def test_reconstruct(name):
    embedder = DiffusersEmbedder(make_model(name), device="cpu")
    assert embedder.name == MODELS[name][0]
    # 18 frames: CogVideoX would decode an even number of latent frames, Hunyuan cuts.
    for shape in [(1, 1, 1), (6, 9, 18), (18, 16, 33)]:
        video = noise(*shape)
        reconstruction = embedder.reconstruct(video)
        assert reconstruction.video.shape == video.shape
        assert reconstruction.num_values == embedder.num_values(*shape)
        assert reconstruction.num_bits == 16 * reconstruction.num_values
        assert reconstruction.video.std() > 1
    repeated = embedder.reconstruct(video).video
    np.testing.assert_array_equal(repeated, reconstruction.video)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_models_own_round_trip(name):
    # A size without padding, for which the embedder must not pad or crop.
    _, _, (frames, pixels) = MODELS[name]
    video = noise(1 + 2 * frames, pixels, 2 * pixels)
    model = make_model(name)
    embedder = DiffusersEmbedder(model, device="cpu")
    tensor = torch.from_numpy(video.transpose(3, 0, 1, 2)[None] / np.float32(127.5) - 1)
    times = (torch.tensor([0.05]),) if name == "ltx0.9.1" else ()
    with torch.inference_mode():
        latents = model.encode(tensor).latent_dist.mode()
        torch.manual_seed(0)
        expected = model.decode(latents, *times).sample[0].numpy()
    assert latents.numel() == embedder.num_values(*video.shape[:3])
    expected = (expected.transpose(1, 2, 3, 0).clip(-1, 1) + 1) * 127.5
    decoded = embedder.reconstruct(video).video
    np.testing.assert_allclose(decoded, expected, atol=2)
    assert np.abs(decoded - expected).mean() < 0.5


def test_the_time_of_decoding_matters():
    model = make_model("ltx0.9.1")
    video = noise(1, 32, 32)
    early, late = (
        DiffusersEmbedder(model, decode_timestep=t, device="cpu").reconstruct(video)
        for t in (0.05, 0.9)
    )
    assert np.any(early.video != late.video)


def test_the_callers_random_numbers_stay():
    embedder = DiffusersEmbedder(make_model("ltx0.9.1"), device="cpu")
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    embedder.reconstruct(noise(1, 32, 32))
    assert torch.rand(()) == expected


@pytest.mark.parametrize("name", ["wan2.2", "ltx0.9.1"])
def test_load_from_a_directory(name, tmp_path):
    model = make_model(name)
    model.save_pretrained(tmp_path / "saved")
    video = noise(2, 9, 18)
    expected = DiffusersEmbedder(model, device="cpu").reconstruct(video)
    embedder = DiffusersEmbedder(tmp_path / "saved", device="cpu")
    assert embedder.name == "saved"
    np.testing.assert_array_equal(embedder.reconstruct(video).video, expected.video)
    half = DiffusersEmbedder(
        str(tmp_path / "saved"), family=MODELS[name][0], torch_dtype="bfloat16"
    )
    assert half.module.dtype == torch.bfloat16
    assert half.reconstruct(video).num_values == expected.num_values


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("user/name", ("user/name", None)),
        ("user/name/vae", ("user/name", "vae")),
        ("user/name/a/b", ("user/name", "a/b")),
    ],
)
def test_ids_on_the_hub(path, expected, monkeypatch):
    def from_pretrained(path, subfolder, torch_dtype):
        assert (path, subfolder) == expected
        assert torch_dtype == torch.bfloat16
        return make_model("ltx").to(torch_dtype)

    monkeypatch.setattr(diffusers.AutoModel, "from_pretrained", from_pretrained)
    embedder = DiffusersEmbedder(path, torch_dtype="bfloat16", device="cpu")
    assert embedder.name == path.rpartition("/")[2]


def test_errors(tmp_path):
    with pytest.raises(
        ValueError, match="must be one of AutoencoderKLCogVideoX.*Linear"
    ):
        DiffusersEmbedder(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="must be one of .*Received: AutoencoderKL$"):
        DiffusersEmbedder(tmp_path, family="AutoencoderKL")
    with pytest.raises(ValueError, match="directory with a config.json.*cannot be"):
        DiffusersEmbedder(tmp_path)
