import fractions
import sys

import keras
import numpy as np
import PIL.Image
import pytest

from keras_regen.video import VideoReader, VideoWriter
from keras_regen.video.timestamps import Timestamps
from tests.video.media import LAST, TICK, UNEVEN, make, shown
from tests.video.videos import moving_ramp, rotate, write

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on every backend"
)

ENDS = np.append(UNEVEN, UNEVEN[-1] + LAST)


def collect(times, fps=25, tick=1e-3, last=None):
    timestamps = Timestamps(fps, tick)
    for time in times:
        timestamps.append(time)
    timestamps.finish(last)
    return timestamps


class TestTimestamps:
    @pytest.mark.parametrize("rate", [24, 25, 30, 30000 / 1001, 60000 / 1001, 2.27])
    def test_rounding_is_no_variable_rate(self, rate):
        times = np.arange(500) / rate + 0.0213
        for rounded in (np.round(times, 3), np.floor(times * 1000) / 1000):
            timestamps = collect(rounded, rate)
            assert timestamps.is_constant
            assert timestamps.between(3, 9) is None

    def test_a_late_frame_is(self):
        times = np.arange(20) / 25
        times[12:] += 0.01
        timestamps = collect(times + 5, last=0.04)
        assert timestamps.origin == 5
        assert not timestamps.is_constant
        assert timestamps.between(0, 11) is None
        np.testing.assert_allclose(timestamps.between(10, 14), times[10:15])
        np.testing.assert_allclose(timestamps.between(18, 20), [0.73, 0.77, 0.81])
        np.testing.assert_allclose(timestamps.at(19), [0.77, 0.04])

    def test_a_long_last_frame_is(self):
        times = np.arange(5) / 25
        assert collect(times, last=0.06).is_constant
        assert not collect(times, last=0.5).is_constant

    def test_times_that_cannot_be(self):
        times = [0.0, 0.04, None, 0.01, float("nan"), 1e300, 0.24, 0.28]
        timestamps = collect(times, last=-1)
        assert timestamps.is_constant
        starts = [timestamps.at(i)[0] for i in range(8)]
        np.testing.assert_allclose(starts, np.arange(8) / 25)

    def test_eight_bytes_a_frame(self):
        timestamps = collect(np.arange(100_000) / 25)
        assert sys.getsizeof(timestamps._starts) < 9.5 * 100_000


class TestFiles:
    @pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv", "v.webm"])
    def test_variable_rates_come_back(self, tmp_path, name):
        codec = "libvpx-vp9" if name == "v.webm" else "libx264"
        source = make(tmp_path / name, codec=codec)
        np.testing.assert_allclose(shown(source), ENDS, atol=1e-3)
        with VideoReader(source) as reader:
            frames = list(reader)
            times = [reader.shown_at(i) for i in range(len(frames))]
        for suffix in (".mp4", ".mkv", ".webm", ".gif"):
            output = tmp_path / f"out{suffix}"
            with VideoWriter(output, 25) as writer:
                for frame, (time, duration) in zip(frames, times, strict=True):
                    writer.write(frame, time, duration)
            # A GIF's are whole hundredths of a second, each at least one.
            tolerance = 0.011 if suffix == ".gif" else 2e-3
            np.testing.assert_allclose(shown(output), ENDS, atol=tolerance)

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".gif"])
    @pytest.mark.parametrize("fps", [25, 30000 / 1001, 24000 / 1001])
    def test_constant_rates_are_constant(self, tmp_path, suffix, fps):
        path = write(tmp_path / f"v{suffix}", moving_ramp(40, 16, 16), fps)
        with VideoReader(path) as reader:
            assert len(list(reader)) == 40
            assert reader.timestamps.is_constant
            assert reader.shown_at(7) == (None, None)

    def test_a_given_rate_replaces_them(self, tmp_path):
        with VideoReader(make(tmp_path / "v.mp4"), fps=10) as reader:
            list(reader)
            assert reader.timestamps is None
            assert reader.shown_at(3) == (None, None)

    def test_an_mkv_with_a_long_last_frame_is_whole(self, tmp_path):
        source = make(tmp_path / "v.mkv", last=3.0)
        assert shown(source)[-1] == pytest.approx(UNEVEN[-1] + 3, abs=1e-3)
        data = source.read_bytes()
        source.write_bytes(data[:-200])
        with VideoReader(source) as reader:
            with pytest.raises(ValueError, match="the file ends"):
                list(reader)

    def test_pixels_of_turned_video_turn(self, tmp_path):
        path = make(tmp_path / "v.mp4", aspect=fractions.Fraction(4, 3))
        with VideoReader(path) as reader:
            assert reader.pixel_aspect == fractions.Fraction(4, 3)
        with VideoReader(rotate(path)) as reader:
            assert (reader.height, reader.width) == (48, 32)
            assert reader.pixel_aspect == fractions.Fraction(3, 4)

    def test_frames_at_one_time_follow_each_other(self, tmp_path):
        frame = moving_ramp(1, 16, 16)[0]
        with VideoWriter(tmp_path / "v.mp4", 25) as writer:
            for time in (0.0, 0.1, 0.1, 0.0999, 0.2):
                writer.write(frame, time)
        assert np.all(np.diff(shown(tmp_path / "v.mp4")) >= 0.9 * float(TICK))


class TestAnimatedWebp:
    DURATIONS = [100, 250, 40, 40, 500]

    def save(self, path, frames, **options):
        images = [PIL.Image.fromarray(frame) for frame in frames]
        images[0].save(
            path,
            save_all=True,
            append_images=images[1:],
            duration=self.DURATIONS,
            lossless=True,
            **options,
        )
        return path

    def test_frames_and_durations(self, tmp_path):
        video = moving_ramp(5, 17, 31)
        path = self.save(tmp_path / "v.webp", video)
        with VideoReader(path) as reader:
            np.testing.assert_array_equal(np.stack(list(reader)), video)
            assert reader.num_frames == 5
            assert reader.fps == pytest.approx(5 / 0.93)
        ends = np.cumsum([0, *self.DURATIONS]) / 1000
        np.testing.assert_allclose(shown(path), ends)

    def test_alpha(self, tmp_path, caplog):
        rgba = np.full((5, 16, 16, 4), 255, "uint8")
        rgba[..., :3] = np.arange(5)[:, None, None, None] * 40
        rgba[:, :4, :4, 3] = 0
        with VideoReader(self.save(tmp_path / "v.webp", rgba)) as reader:
            frames = np.stack(list(reader))
        assert np.all(frames[:, :4, :4] == 255)
        np.testing.assert_array_equal(frames[:, 8, 8, 0], np.arange(5) * 40)
        [record] = caplog.records
        assert "its alpha is lost: transparent pixels are white" in record.getMessage()

    def test_truncated(self, tmp_path):
        path = self.save(tmp_path / "v.webp", moving_ramp(5, 32, 48))
        path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])
        with VideoReader(path, partial=True) as reader:
            count = len(list(reader))
        assert 0 < count < 5
        assert reader.damage == f"it is damaged at frame {count}: the file ends"

    def test_what_a_small_file_claims(self, tmp_path):
        path = self.save(tmp_path / "v.webp", moving_ramp(5, 16, 16))
        data = bytearray(path.read_bytes())
        data[24:30] = b"\xfe\x3f\x00" * 2
        path.write_bytes(data)
        with pytest.raises(ValueError, match="its frames have 16383x16383 pixels"):
            VideoReader(path)
