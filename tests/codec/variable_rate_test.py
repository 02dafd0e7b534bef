"""Videos of a variable frame rate, with sound and pixels that are not square."""

import dataclasses
import fractions

import av
import keras
import numpy as np
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.latents import Latents
from keras_regen.video import VideoReader
from tests.codec.ramps import RampModel, ramp
from tests.video.media import FLASH, LAST, UNEVEN, click_and_flash, make, shown

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on every backend"
)

K = 4
ENDS = np.append(UNEVEN, UNEVEN[-1] + LAST)
N = len(UNEVEN)


@pytest.fixture
def codec():
    return VideoCodec(RampModel(K))


@pytest.fixture
def latents(codec, tmp_path):
    """Of a ramp, at the uneven times of a file."""
    video = ramp(np.arange(N), 16, 24)
    return dataclasses.replace(codec.encode(video), times=ENDS)


@pytest.fixture
def source(tmp_path):
    return make(tmp_path / "in.mp4", sound="aac", aspect=fractions.Fraction(4, 3))


class TestEncoding:
    def test_latents_keep_times_and_pixel_aspect(self, codec, source, tmp_path):
        latents = codec.encode(source, tmp_path / "z.h5")
        assert not latents.is_constant_rate
        assert latents.pixel_aspect == (4, 3)
        np.testing.assert_allclose(latents.times, ENDS, atol=1e-4)
        assert latents.duration == pytest.approx(ENDS[-1], abs=1e-4)
        part = latents[5:9]
        np.testing.assert_array_equal(part.times, latents.times[5:10])
        pieces = [*codec.encode_stream(source)]
        joined = Latents.join(pieces)
        assert joined.header == latents.header
        np.testing.assert_array_equal(joined.times, latents.times)
        assert [len(piece.times) - 1 for piece in pieces if piece.times is not None]

    @pytest.mark.parametrize("suffix", ["mp4", "mkv"])
    def test_a_constant_rate_leaves_nothing(self, codec, tmp_path, suffix):
        # An MKV rounds times to milliseconds.
        path = make(tmp_path / f"in.{suffix}", np.arange(20) / 30, 1 / 30, fps=30)
        latents = codec.encode(path)
        assert latents.is_constant_rate and latents.times is None
        assert "pixel_aspect" not in latents.header
        for piece in codec.encode_stream(path):
            assert piece.times is None

    def test_a_rate_that_becomes_variable(self, codec, tmp_path):
        times = np.append(np.arange(12) / 25, 0.48 + np.arange(8) / 10)
        # The mean of the file is that of its first frames.
        with VideoReader(make(tmp_path / "in.mkv", times, 0.1)) as reader:
            latents = codec.encode(reader, tmp_path / "z.h5")
        np.testing.assert_allclose(latents.times, [*times, times[-1] + 0.1], atol=2e-3)

    def test_a_given_rate_replaces_the_times(self, codec, source):
        latents = codec.encode(source, fps=10)
        assert latents.is_constant_rate and latents.fps == 10


class TestDecoding:
    def test_every_frame_at_its_time(self, codec, latents, tmp_path):
        for name, given in (("a.mp4", latents), ("b.mkv", iter([latents]))):
            path = codec.decode(given, tmp_path / name)
            np.testing.assert_allclose(shown(path), ENDS, atol=1e-3)
        path = codec.decode(latents[4:9], tmp_path / "part.mp4")
        np.testing.assert_allclose(shown(path), ENDS[4:10] - ENDS[4], atol=1e-4)

    @pytest.mark.parametrize("speed", [0.5, 2.0])
    def test_speed_scales_the_times(self, codec, latents, tmp_path, speed):
        frames = codec.decode(latents, speed=speed)
        times = np.arange(0, N, speed)
        np.testing.assert_allclose(frames, ramp(times, 16, 24), atol=1e-5)
        path = codec.decode(latents, tmp_path / "out.mp4", speed=speed)
        expected = np.interp([*times, N], np.arange(N + 1), ENDS) / speed
        np.testing.assert_allclose(shown(path), expected, atol=1e-3)

    @pytest.mark.parametrize(("fps", "speed"), [(60, 1.0), (25, 0.5), (10, 1.0)])
    def test_a_constant_rate_shows_the_real_times(self, codec, latents, fps, speed):
        for part, ends in ((latents, ENDS), (latents[3:11], ENDS[3:12])):
            frames = codec.decode(part, fps=fps, speed=speed)
            count = round((ends[-1] - ends[0]) * fps / speed)
            seconds = ends[0] + np.arange(count) * speed / fps
            times = np.interp(seconds, ENDS, np.arange(N + 1))
            np.testing.assert_allclose(frames, ramp(times, 16, 24), atol=1e-5)

    def test_pieces_have_no_other_rate(self, codec, latents):
        with pytest.raises(ValueError, match="or give no `fps`. Received: fps=60"):
            list(codec.decode_stream(iter([latents]), fps=60))

    def test_a_list_that_does_not_fit(self, codec, latents):
        with pytest.raises(
            ValueError, match="may have 100,000,000 frames.*fps=1000000"
        ):
            codec.decode(latents, fps=1e6, speed=1e-3)

    def test_streams_go_on(self, codec, source):
        whole = codec.decode(codec.encode(source))
        stream = codec.decode_stream(codec.encode_stream(source))
        np.testing.assert_array_equal(np.stack([*stream]), whole)


class TestSound:
    def test_of_the_whole_and_of_a_part(self, codec, source, tmp_path):
        latents = codec.encode(source)
        for start, stop in ((0, N), (5, 12)):
            output = tmp_path / f"{start}.mp4"
            codec.decode(latents[start:stop], output, audio_from=source)
            click, _ = click_and_flash(output)
            assert abs(click - (UNEVEN[FLASH] - UNEVEN[start])) < 2e-3
            with av.open(str(output)) as container:
                seconds = float(container.duration / av.time_base)
            assert abs(seconds - (ENDS[stop] - ENDS[start])) < 0.05
            with VideoReader(output) as reader:
                assert reader.pixel_aspect == fractions.Fraction(4, 3)

    def test_at_another_rate(self, codec, source, tmp_path):
        output = codec.decode(
            codec.encode(source), tmp_path / "o.mkv", fps=60, audio_from=str(source)
        )
        assert abs(click_and_flash(output)[0] - UNEVEN[FLASH]) < 2e-3

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"speed": 0.5}, "since speed=0.5"), ({"times": [0, 1]}, "`times` are given")],
    )
    def test_slow_motion_has_none(
        self, codec, source, tmp_path, caplog, options, message
    ):
        latents = codec.encode(source)
        output = codec.decode(latents, tmp_path / "o.mp4", audio_from=source, **options)
        [record] = caplog.records
        assert record.getMessage().startswith("The video has no sound: ")
        assert record.getMessage().endswith(message)
        assert click_and_flash(output)[0] is None

    @pytest.mark.parametrize(("fps", "is_in_step"), [(None, True), (50, False)])
    def test_a_replaced_rate_has_none(self, codec, tmp_path, caplog, fps, is_in_step):
        source = make(tmp_path / "in.mp4", np.arange(N) / 25, 1 / 25, sound="aac")
        latents = codec.encode(source, fps=fps)
        output = codec.decode(latents, tmp_path / "o.mp4", audio_from=source)
        assert (click_and_flash(output)[0] is not None) == is_in_step
        assert ("latents have 50 frames/s" in caplog.text) != is_in_step
        # A file that only holds sound has no rate to compare.
        with av.open(str(tmp_path / "sound.mka"), "w") as container:
            with av.open(str(source)) as video:
                stream = container.add_stream_from_template(video.streams.audio[0])
                for packet in video.demux(audio=0):
                    if packet.size:
                        packet.stream = stream
                        container.mux(packet)
        caplog.clear()
        codec.decode(latents, tmp_path / "o.mp4", audio_from=tmp_path / "sound.mka")
        assert not caplog.records

    def test_errors(self, codec, latents, tmp_path, caplog):
        with pytest.raises(ValueError, match="Sound needs an `output`"):
            codec.decode(latents, audio_from="in.mp4")
        with pytest.raises(ValueError, match="Cannot read the sound: there is no such"):
            codec.decode(latents, tmp_path / "o.mp4", audio_from=tmp_path / "in.mp4")
        assert list(tmp_path.iterdir()) == []
        silent = make(tmp_path / "silent.mp4")
        codec.decode(latents, tmp_path / "o.mp4", audio_from=silent)
        assert f"{silent} has none" in caplog.text
