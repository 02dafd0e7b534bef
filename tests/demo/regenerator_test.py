import fractions

import numpy as np
import pytest

from keras_regen.demo import Regenerator
from keras_regen.demo import regenerator as module
from keras_regen.latents import Latents
from keras_regen.metrics import psnr, ssim
from keras_regen.models import bundled_presets
from keras_regen.video import VideoReader, VideoWriter
from tests.video.videos import moving_ramp, read, write


def assert_holds(path, video, folder, fps=10):
    """Checks that a file holds a video, but for what H.264 loses."""
    again = write(folder / "again.mp4", video, fps)
    assert np.abs(read(path).astype(int) - read(again)).mean() < 4


def test_regenerates_and_slows_down(regenerator, preset, clip, tmp_path):
    reports = []
    result = regenerator.regenerate(
        clip, tmp_path, seed=3, progress=lambda *args: reports.append(args)
    )
    frames = read(clip)
    latents = Latents.load(result.latents)
    decoded = regenerator.codec(preset).decode(latents, seed=3)
    assert result.psnr == pytest.approx(psnr(frames, decoded).mean())
    assert result.ssim == pytest.approx(ssim(frames, decoded).mean())
    assert (len(latents), latents.fps) == (7, result.fps) == (7, 10)
    assert result.num_latent_values == latents.array.size == 4 * 3 * 4 * 8
    assert result.num_pixel_values == frames.size and result.note == ""
    assert_holds(result.original, frames, tmp_path)
    assert_holds(result.decoded, decoded, tmp_path)
    assert reports[-1] == (7, 7, "Generating")
    assert {what for *_, what in reports} == {"Encoding", "Generating"}

    path = tmp_path / "slow.mp4"
    note = regenerator.slow_motion(result.latents, path, speed=0.5, fps=20, seed=3)
    assert note == "0.5 times the speed, 20 frames/s."
    slow = regenerator.codec(preset).decode(latents, fps=20, speed=0.5, seed=3)
    assert len(slow) == 4 * 7
    assert_holds(path, slow, tmp_path, fps=20)


@pytest.mark.parametrize(
    ("most", "length", "shown"), [(28, 28, ""), (12, 12, " Of the first 0.3 s.")]
)
def test_slow_motion_is_bounded(
    regenerator, clip, tmp_path, monkeypatch, most, length, shown
):
    monkeypatch.setattr(module, "_MAX_FRAMES", most)
    path, slow = tmp_path / "clip.h5", tmp_path / "slow.mp4"
    regenerator.codec(regenerator.presets[0]).encode(clip, path)
    note = regenerator.slow_motion(path, slow)
    assert note == f"0.25 times the speed, 10 frames/s.{shown}"
    assert len(read(slow)) == length


def test_long_and_large_clips_are_cut_and_made_smaller(preset, tmp_path):
    clip = write(tmp_path / "large.mp4", moving_ramp(7, 33, 65), fps=10)
    regenerator = Regenerator([preset], max_seconds=0.5, max_side=32)
    result = regenerator.regenerate(clip, tmp_path)
    assert result.video_shape == read(result.decoded).shape == (5, 16, 32, 3)
    assert result.note == (
        "Only the first 0.5 s are used. Frames are resized from 65x33 to 32x16 pixels."
    )
    # What is shown is the video, made smaller.
    shrunk = read(clip)[:5, :32, :64].reshape(5, 16, 2, 32, 2, 3).mean((2, 4))
    assert psnr(read(result.original), np.rint(shrunk).astype("uint8")).min() > 25


@pytest.mark.parametrize("frames", [7, 10])
def test_pixels_and_times_are_those_of_the_clip(regenerator, tmp_path, frames):
    starts = np.arange(frames) / 10 + (np.arange(frames) > 2) / 2
    clip, aspect = tmp_path / "hdv.mp4", fractions.Fraction(4, 3)
    with VideoWriter(clip, 10, aspect) as writer:
        for frame, time in zip(moving_ramp(frames, 24, 32), starts, strict=True):
            writer.write(frame, time)
    with VideoReader(clip) as reader:
        regenerator.max_seconds = 7.5 / reader.fps
    result = regenerator.regenerate(clip, tmp_path)
    slow = tmp_path / "slow.mp4"
    regenerator.slow_motion(result.latents, slow, speed=1)
    for path in (result.original, result.decoded, slow):
        with VideoReader(path) as reader:
            assert len(list(reader)) == 7 and reader.pixel_aspect == aspect
            shown = [reader.shown_at(number)[0] for number in range(7)]
            np.testing.assert_allclose(shown, starts[:7], atol=2e-3)
    assert ("Only the first 1.2 s are used." in result.note) == (frames > 7)


def test_presets_are_loaded_once_and_only_those_offered(regenerator, preset, tmp_path):
    assert regenerator.presets == [preset, *bundled_presets()]
    assert regenerator.codec(preset) is regenerator.codec(preset)
    # What a browser sends must not name files of the server.
    with pytest.raises(ValueError, match="The presets are .*Received: preset="):
        regenerator.codec(str(tmp_path))
    half = Regenerator([preset], dtype="mixed_bfloat16").codec(preset).model
    assert half.decoder.compute_dtype == "bfloat16"
    with pytest.raises(ValueError, match="nowhere"):
        Regenerator(["nowhere"])
    with pytest.raises(ValueError, match="max_seconds.*Received: "):
        Regenerator([preset], max_seconds=0)


def test_closing_ends_the_work(regenerator, clip, tmp_path):
    regenerator.close()
    with pytest.raises(ValueError, match="The page was closed"):
        regenerator.regenerate(clip, tmp_path)


def test_generates(regenerator, tmp_path):
    assert regenerator.generators == ["toy_text"]
    assert regenerator.examples("toy_text") == ["a two", "a three"]
    seen = []
    call = dict(num_frames=12, seed=1, progress=lambda *x: seen.append(x))
    regenerator.generate("a two", tmp_path / "out.mp4", "toy_text", **call)
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert (reader.fps, len(list(reader))) == (10, 12)
    assert seen[-1][0] == 12 and seen[-1][2] == "Generating"
    with pytest.raises(ValueError, match="`num_frames` must be"):
        regenerator.generate("a two", tmp_path / "x.mp4", "toy_text", num_frames=601)
    with pytest.raises(ValueError, match="generators are toy_text"):
        regenerator.generate("a two", tmp_path / "x.mp4", str(tmp_path))
