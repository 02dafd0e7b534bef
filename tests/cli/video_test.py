import dataclasses
import json
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest

import keras_regen
from keras_regen.codec import VideoCodec
from keras_regen.hardware import device
from keras_regen.latents import Latents
from keras_regen.metrics import psnr, ssim
from keras_regen.video import VideoReader
from tests.cli.conftest import FRAMES, HEIGHT, WIDTH, K, assert_user_error
from tests.models.conftest import awaken, make_regen
from tests.video.videos import CLIP, write


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """A preset with another encoder."""
    other = awaken(make_regen(K))
    other.encoder.weights[0].assign(other.encoder.weights[0] + 1)
    directory = tmp_path_factory.mktemp("presets") / "another"
    other.save_to_preset(directory)
    return directory


class TestReconstruct:
    def test_side_by_side(self, run, preset, video, tmp_path):
        output = tmp_path / "out.mkv"
        options = ("-o", output, "--preset", preset, "--steps", 2, "--seed", 3)
        status, stdout, stderr = run("reconstruct", video, *options)
        assert (status, stderr) == (0, "")
        with VideoReader(video) as reader:
            original = np.stack(list(reader))
        with VideoReader(output) as reader:
            assert reader.fps == 12.5
            both = np.stack(list(reader))
        assert both.shape == (FRAMES, HEIGHT, 2 * WIDTH, 3)
        # H.264 does not keep noise exactly.
        error = np.abs(both[:, :, :WIDTH].astype(int) - original).mean()
        assert error < 20
        regen = keras_regen.Regen.from_preset(preset)

        def scores(steps, seed):
            codec = VideoCodec(regen)
            video = codec.decode(codec.encode(original), num_steps=steps, seed=seed)
            return (
                f"{psnr(original, video).mean():.2f} dB",
                f"{ssim(original, video).mean():.4f}",
            )

        assert f"Backend: {keras.config.backend()}, on {device()}\n" in stdout
        assert f"{FRAMES}/{FRAMES} frames" in stdout
        assert all(score in stdout for score in scores(2, 3))
        assert not all(score in stdout for score in scores(1, 3))
        assert not all(score in stdout for score in scores(2, 0))
        latents, pixels = 2 * (2 * 3 * 4 * 8), FRAMES * HEIGHT * WIDTH * 3
        size = f"{latents:,} latent values for {pixels:,} pixel values, 1 : "
        assert size + f"{pixels / latents:.1f}" in stdout
        assert str(output) in stdout

    def test_a_generator_is_no_codec(self, run, generator, video, monkeypatch):
        words = "reconstruct", "in.mp4", "--preset"
        assert_user_error(run(*words, generator), "Expected the preset of a codec")
        monkeypatch.setattr("keras_regen.bundled.PRESETS", generator.parent)
        message = "'toy_generator', which is a generator"
        assert_user_error(run(*words, "toy_generator"), message)

    def test_without_arguments(self, run, preset, tmp_path, monkeypatch):
        presets = tmp_path / "presets"
        shutil.copytree(preset, presets / "regen_small_8x8x8")
        monkeypatch.setattr("keras_regen.bundled.PRESETS", presets)
        # The bundled clip has 2.6 times as many pixels.
        monkeypatch.setattr("keras_regen.cli.video.bundled_clip", lambda: CLIP)
        status, stdout, _ = run("reconstruct")
        assert status == 0
        assert "clip_regen.mp4" in stdout
        with VideoReader(tmp_path / "clip_regen.mp4") as reader:
            assert (reader.num_frames, reader.fps) == (60, 25)
            assert (reader.height, reader.width) == (128, 2 * 228)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nothing.mp4"], "there is no such file. Received: path=nothing.mp4"),
            (["broken"], "the directory has no images"),
            (["in.mp4", "--input-fps", "0"], "Received: fps=0.0"),
            (["in.mp4", "--max-memory", "much"], "Received: max_memory='much'"),
            (["in.mp4", "--max-memory", "1KB"], "Received: max_memory=1e-06 GB"),
            (["notes.txt"], "its format is not supported"),
            (["in.mp4", "-o", "out.avi"], "Received: path=out.avi"),
            (["in.mp4", "-o", "nowhere/out.mp4"], "Received: path=nowhere/out.mp4"),
            (["in.mp4", "-o", "./in.mp4"], "OUT must not be in.mp4"),
            (["in.mp4", "--preset", "nonsense"], "Received: 'nonsense'"),
            (["in.mp4", "--preset", "broken"], "broken/config.json is not JSON"),
            (["in.mp4", "--preset", "other"], "other/config.json is not the config"),
            (["in.mp4", "--steps", "0"], "'--steps'"),
            (["in.mp4", "--steps", "many"], "'--steps'"),
            (["in.mp4", "--seed", "-1"], "'--seed'"),
            (["in.mp4", "--nonsense"], "--nonsense"),
            (["in.mp4", "in.mp4"], "unexpected extra argument"),
        ],
    )
    def test_errors_leave_nothing(
        self, run, preset, video, tmp_path, arguments, message
    ):
        (tmp_path / "notes.txt").write_text("not a video\n" * 100)
        shutil.copytree(preset, tmp_path / "broken")
        (tmp_path / "broken" / "config.json").write_text("{")
        # As an older or newer version could have written it.
        shutil.copytree(preset, tmp_path / "other")
        path = tmp_path / "other" / "config.json"
        config = json.loads(path.read_text())
        config["class_name"], config["registered_name"] = "Gen", "keras_regen>Gen"
        path.write_text(json.dumps(config))
        before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
        assert_user_error(run("reconstruct", *arguments), message)
        assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before

    def test_without_output_nothing_is_replaced(self, run, preset, video):
        for name in ("in_regen.mp4", "in_regen_2.mp4", "in_regen_3.mp4"):
            status, stdout, _ = run("reconstruct", video, "--preset", preset)
            assert status == 0 and name in stdout and os.path.exists(name)
        options = ("--preset", preset, "--overwrite")
        status, stdout, _ = run("reconstruct", video, *options)
        assert status == 0 and "in_regen.mp4" in stdout
        assert len(os.listdir()) == 4

    def test_damaged_video(self, run, preset, tmp_path):
        data = CLIP.read_bytes()
        (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
        result = run("reconstruct", "half.mp4", "--preset", preset)
        assert_user_error(result, "it is damaged at frame")
        assert os.listdir() == ["half.mp4"]
        status, stdout, _ = run(
            "reconstruct", "half.mp4", "--preset", preset, "--partial"
        )
        assert status == 0
        with VideoReader("half_regen.mp4") as reader:
            count = len(list(reader))
        words = " ".join(stdout.split())
        assert f"{count} frames were read: it is damaged at frame {count}" in words

    def test_control_c(self, run, preset, video, monkeypatch):
        def interrupted(self, frames, **options):
            frame = next(iter(frames))
            yield frame, frame
            raise KeyboardInterrupt

        monkeypatch.setattr(VideoCodec, "reconstruct_stream", interrupted)
        status, _, stderr = run("reconstruct", video, "--preset", preset)
        assert (status, stderr) == (130, "")
        assert os.listdir() == ["in.mp4"]


class TestEncodeAndDecode:
    @pytest.fixture
    def latents(self, encoded, video):
        shutil.copy(encoded, "in.h5")
        return Latents.load("in.h5")

    def test_encode(self, run, preset, video):
        status, stdout, stderr = run("encode", video, "--preset", preset)
        assert (status, stderr) == (0, "")
        latents = Latents.load("in.h5")
        assert (latents.num_frames, latents.fps) == (FRAMES, 12.5)
        assert (latents.height, latents.width) == (HEIGHT, WIDTH)
        assert latents.preset == str(preset)
        assert latents.array.dtype == "float16"
        expected = VideoCodec(keras_regen.Regen.from_preset(preset)).encode(video)
        np.testing.assert_allclose(latents.array, expected.array, atol=5e-3)
        words = " ".join(stdout.split())
        assert f"{FRAMES}/{FRAMES} frames" in words
        assert "latents 4 x 3 x 4 x 8" in words
        assert f"file {os.stat('in.h5').st_size:,} bytes" in words

    def test_encode_the_working_directory(self, run, preset, tmp_path, monkeypatch):
        write(tmp_path / "clip", np.zeros((5, 16, 16, 3), "uint8"))
        monkeypatch.chdir(tmp_path / "clip")
        assert run("encode", ".", "--preset", preset)[0] == 0
        assert len(Latents.load("clip.h5")) == 5

    def test_encode_options(self, run, preset, video):
        run(
            *("encode", video, "-o", "z.h5", "--preset", preset, "--dtype", "float32"),
            *("--chunking", "shared", "--input-fps", 10, "--max-memory", "1GB"),
        )
        latents = Latents.load("z.h5")
        assert latents.array.dtype == "float32"
        assert (latents.chunking, latents.fps) == ("shared", 10)

    def test_decode(self, run, preset, latents):
        status, stdout, stderr = run("decode", "in.h5", "-o", "out.npy", "--seed", 3)
        assert (status, stderr) == (0, "")
        assert f"{FRAMES}/{FRAMES} frames" in stdout
        codec = VideoCodec(keras_regen.Regen.from_preset(preset))
        expected = codec.decode(latents, seed=3)
        np.testing.assert_array_equal(np.load("out.npy"), expected)
        run("decode", "in.h5", "-o", "o.npy", "--steps", 2, "--noise-scale", 0.5)
        expected = codec.decode(latents, num_steps=2, noise_scale=0.5)
        np.testing.assert_array_equal(np.load("o.npy"), expected)

    def test_decode_a_part(self, run, latents):
        run("decode", "in.h5", "-o", "all.npy")
        # Frames 3 and 4 of 12.5 a second.
        run("decode", "in.h5", "-o", "part.npy", "--start", 0.24, "--end", 0.4)
        np.testing.assert_array_equal(np.load("part.npy"), np.load("all.npy")[3:5])
        run("decode", "in.h5", "-o", "rest.npy", "--start", 0.24, "--end", 100)
        np.testing.assert_array_equal(np.load("rest.npy"), np.load("all.npy")[3:])

    def test_decode_at_another_rate(self, run, latents):
        run("decode", "in.h5", "-o", "fast.mkv", "--fps", 50)
        with VideoReader("fast.mkv") as reader:
            assert (reader.fps, len(list(reader))) == (50, 4 * FRAMES)
        run("decode", "in.h5", "-o", "slow.mkv", "--speed", 0.5)
        with VideoReader("slow.mkv") as reader:
            assert (reader.fps, len(list(reader))) == (12.5, 2 * FRAMES)
        run("decode", "in.h5", "-o", "images", "--fps", 6.25)
        assert len(os.listdir("images")) == 4

    def test_overwrite(self, run, preset, video, latents):
        before = pathlib.Path("in.h5").read_bytes()
        options = ("--preset", preset, "--chunking", "shared", "--overwrite")
        assert run("encode", video, *options)[0] == 0
        assert pathlib.Path("in.h5").read_bytes() != before
        pathlib.Path("o.npy").write_bytes(b"what was there")
        assert run("decode", "in.h5", "-o", "o.npy", "--overwrite")[0] == 0
        assert len(np.load("o.npy")) == FRAMES

    def test_many_generated_frames_are_a_surprise(self, run, latents, caplog):
        run("decode", "in.h5", "-o", "a.npy", "--fps", 50)
        run("decode", "in.h5", "-o", "b.npy", "--speed", 0.1)
        assert not caplog.messages
        run("decode", "in.h5", "-o", "c.npy", "--fps", 100)
        (message,) = caplog.messages
        assert "IN has 12.5 frames/s: with --fps 100, 8 frames are decoded" in message

    def test_decode_to_no_end(self, run, latents):
        assert run("decode", "in.h5", "-o", "o.npy", "--end", "inf")[0] == 0
        assert len(np.load("o.npy")) == FRAMES

    @pytest.mark.parametrize("name", ["a[/x].h5", "[bold]z:smile:.h5", "\udcff.h5"])
    def test_names_are_printed_as_they_are(self, run, preset, video, name):
        pathlib.Path(name).parent.mkdir(exist_ok=True)
        status, stdout, _ = run("encode", video, "-o", name, "--preset", preset)
        assert status == 0 and os.path.exists(name)
        assert name in stdout or "udcff" in stdout

    def test_info(self, run, latents):
        status, stdout, _ = run("info", "in.h5")
        words = " ".join(stdout.split())
        assert status == 0
        assert "shape 4 x 3 x 4 x 8" in words and "fps 12.5" in words
        assert latents.content_hash in words.replace(" ", "")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["encode", "nothing.mp4"], "there is no such file"),
            (["encode", "in.mp4", "-o", "in.mp4"], "OUT must not be in.mp4"),
            (["encode", "in.mp4", "-o", "nowhere/z.h5"], "Cannot write the latents"),
            (["encode", "in.mp4", "--chunking", "other"], "'--chunking'"),
            (["decode", "nothing.h5"], "there is no such file"),
            (["decode", "in.mp4"], "OUT must not be in.mp4"),
            (
                ["decode", "in.h5", "--audio-from", "in.mp4", "--overwrite"],
                "OUT must not be in.mp4",
            ),
            (["decode", "in.mp4", "-o", "out.mp4"], "it is not HDF5"),
            (["decode", "in.h5", "-o", "nowhere/o.mp4", "--preset", "no"], "nowhere"),
            (["decode", "in.h5", "-o", "o.mp4", "--start", "inf"], "start=inf"),
            (["decode", "in.h5", "-o", "o.mp4", "--end", "nan"], "end=nan"),
            (["decode", "in.h5", "-o", "o.mp4", "--end", "-inf"], "end=-inf"),
            (["decode", "in.h5", "-o", "o.mp4", "--fps", "1e300"], "fps=1e+300"),
            (["decode", "in.h5", "-o", "o.gif", "--fps", "1e-9"], "fps=1e-09"),
            (["decode", "in.h5", "-o", "o.mp4", "--speed", "1e-320"], "speed=1e-320"),
            (["encode", "in.mp4"], "with --overwrite. Received: OUT=in.h5"),
            (["encode", "in.mp4", "-o", "z.npz"], "in .h5 or .hdf5. Received: path=z"),
            (["decode", "in.h5"], "with --overwrite. Received: OUT=in.mp4"),
            (
                ["encode", "in.mp4", "-o", "z.h5", "--max-memory", "9" * 40 + "T"],
                "max_memory='999",
            ),
            (["encode", "in.mp4", "-o", "z.h5", "--input-fps", "1e308"], "fps=1e+308"),
            (["encode", "in.mp4", "-o", "/dev/null"], "in .h5 or .hdf5"),
            (["decode", "in.h5", "-o", "out.avi"], "Received: path=out.avi"),
            (["decode", "in.h5", "--preset", "no", "--fps", "0"], "Received: fps=0"),
            (
                ["decode", "in.h5", "--preset", "no", "--speed", "0"],
                "Received: speed=0",
            ),
            (["decode", "in.h5", "-o", "o.mp4", "--start", "9"], "lasts 0.560 seconds"),
            (["decode", "in.h5", "-o", "o.mp4", "--end", "0"], "end=0"),
            (["decode", "in.h5", "-o", "o.mp4", "--preset", "no"], "Received: 'no'"),
            (
                ["decode", "in.h5", "-o", "o.mp4", "--preset", "another"],
                "The latents are not this model's, whose encoder_id is",
            ),
        ],
    )
    def test_errors_leave_nothing(
        self, run, latents, another, tmp_path, arguments, message
    ):
        shutil.copytree(another, tmp_path / "another")
        before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
        assert_user_error(run(*arguments), message)
        assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before

    def test_latents_that_name_no_preset(self, run, latents):
        dataclasses.replace(latents, preset=None).save("bare.h5")
        assert_user_error(run("decode", "bare.h5"), "give --preset")
        assert run("decode", "bare.h5", "--preset", latents.preset)[0] == 0
        assert os.path.exists("bare.mp4")


def test_precision(run, preset, video, encoded, tmp_path):
    full, codec = (
        VideoCodec(keras_regen.Regen.from_preset(preset, dtype=dtype))
        for dtype in ("float32", "mixed_bfloat16")
    )
    options = "--preset", preset, "--precision", "mixed_bfloat16"
    run("encode", video, "-o", "half.h5", "--dtype", "float32", *options)
    latents = Latents.load(tmp_path / "half.h5")
    np.testing.assert_array_equal(latents.array, codec.encode(video).array)
    assert np.any(latents.array != full.encode(video).array)
    run("decode", encoded, "-o", "half.npy", *options)
    expected = codec.decode(Latents.load(encoded))
    np.testing.assert_array_equal(np.load(tmp_path / "half.npy"), expected)
    assert np.any(expected != full.decode(Latents.load(encoded)))
    run("invert", video, "-o", "exact.h5", "--steps", 1, "--refinements", 0, *options)
    noise = Latents.load(tmp_path / "exact.h5").noise.array
    expected, other = (
        x.invert(video, num_steps=1, refinements=0).noise.array for x in (codec, full)
    )
    np.testing.assert_array_equal(noise, expected)
    assert np.any(noise != other)
